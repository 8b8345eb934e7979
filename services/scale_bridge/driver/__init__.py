"""The protocol of the scales, and a simulator that speaks it."""
