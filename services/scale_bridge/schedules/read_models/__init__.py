"""Questions about schedules and health."""
