"""A language pack of Ringfence: pack.toml says what it is."""
