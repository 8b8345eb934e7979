"""Leases and circuit breakers."""
