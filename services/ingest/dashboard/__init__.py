"""The dashboard: activity, boxes, what happens now, and what was known at an instant."""
