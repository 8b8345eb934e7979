"""Scans: recorded, listed and counted."""
