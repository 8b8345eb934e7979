"""Requests that change one's own account."""
