"""Requests of the dashboard."""
