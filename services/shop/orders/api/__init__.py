"""Requests about orders (spec shop §4.1)."""
