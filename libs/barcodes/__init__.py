"""What barcodes say, by the standards of GS1: no scanner, no clock, no state."""
