"""Requests about devices."""
