"""SQLite and its shell on the guest ABI."""
