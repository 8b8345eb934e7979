"""The `accounts` commands."""
