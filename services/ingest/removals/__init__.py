"""Removal of scanned items, and of whole imports."""
