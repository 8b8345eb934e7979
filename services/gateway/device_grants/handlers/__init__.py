"""Commands of device grants."""
