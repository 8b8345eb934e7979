"""The `quarantine` commands."""
