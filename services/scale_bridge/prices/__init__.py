"""Prices announced by a shop, delivered to every scale."""
