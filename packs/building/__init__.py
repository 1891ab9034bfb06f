"""How a pack is built: from the archives of others to a wheel, cached by the hash of what goes in."""
