"""Requests of the kiosks' clients."""
