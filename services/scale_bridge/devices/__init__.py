"""Scales: registered, described, verified."""
