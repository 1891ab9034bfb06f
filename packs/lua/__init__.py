"""Lua 5.4 on the guest ABI."""
