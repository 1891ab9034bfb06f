"""Languages for Ringfence: each folder is one, `building` is how they are made."""
