"""Reading and making barcodes by the standards of GS1. Pure: no scanner, clock or state."""
