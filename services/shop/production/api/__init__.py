"""Requests about production."""
