"""The JavaScript pack."""
