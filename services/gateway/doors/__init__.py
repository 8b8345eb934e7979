"""Doors: how a request finds its product, and how refusals are shaped."""
