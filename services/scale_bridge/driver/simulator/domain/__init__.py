"""Faults, goods and uploads of a simulated scale."""
