"""The state of schedules, and the health of scales."""
