"""PHP: an interpreter that others have linked, with our driver, held where its extensions have started."""
