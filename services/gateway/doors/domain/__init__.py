"""Rules of doors, callers and networks."""
