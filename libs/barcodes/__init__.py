"""The contents of barcodes by the standards of GS1: pure functions."""
