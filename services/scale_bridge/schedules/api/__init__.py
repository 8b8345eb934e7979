"""Requests about schedules."""
