"""Requests for operations."""
