"""JavaScript with the interfaces of the web: StarlingMonkey, a component."""
