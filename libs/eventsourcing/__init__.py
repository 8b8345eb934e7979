"""The log: decide, append, read."""
