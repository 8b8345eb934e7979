"""Rules of schedules, calendars and recovery."""
