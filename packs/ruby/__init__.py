"""Ruby: an interpreter that others have linked, with our driver, after it has started."""
