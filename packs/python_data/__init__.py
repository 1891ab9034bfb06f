"""Python with numpy, pandas and scipy: an interpreter that others have linked, with our driver."""
