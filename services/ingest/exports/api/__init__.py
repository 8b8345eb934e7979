"""Requests for exports."""
