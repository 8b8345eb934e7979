"""Prices: announced to scales and kiosks, and set for many products at once."""
