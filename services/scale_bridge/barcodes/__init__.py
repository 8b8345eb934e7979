"""Barcodes that scales print, and what they mean."""
