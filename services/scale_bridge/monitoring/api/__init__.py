"""Requests about what scales show."""
