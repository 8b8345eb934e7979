"""A cache of keys, and when each was last used."""
