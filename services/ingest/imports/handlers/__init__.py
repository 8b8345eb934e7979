"""Commands of an import."""
