"""Schedules, their calendars, and the recovery policy."""
