"""Rules of device grants."""
