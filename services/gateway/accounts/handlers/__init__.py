"""Reading and changing accounts."""
