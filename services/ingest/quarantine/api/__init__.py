"""Requests about the quarantine."""
