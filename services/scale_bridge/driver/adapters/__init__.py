"""The driver over TCP."""
