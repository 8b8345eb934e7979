"""Requests about prices and their delivery."""
