"""Perl: an interpreter that others have linked, with our driver."""
