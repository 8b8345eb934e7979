"""Snapshots of catalogues, and documents stored by content."""
