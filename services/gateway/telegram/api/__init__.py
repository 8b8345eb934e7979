"""Requests for one-time codes."""
