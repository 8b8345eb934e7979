"""Requests about catalogues."""
