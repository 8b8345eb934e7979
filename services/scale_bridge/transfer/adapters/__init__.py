"""Drivers that report progress and keep a pace."""
