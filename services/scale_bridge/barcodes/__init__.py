"""Barcodes that scales print: their meaning, and the rules an owner sets."""
