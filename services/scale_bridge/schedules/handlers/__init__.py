"""Commands of schedules and of recovery."""
