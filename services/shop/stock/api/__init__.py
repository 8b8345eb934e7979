"""Requests about the stock."""
