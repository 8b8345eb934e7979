"""Requests of the shop's clients."""
