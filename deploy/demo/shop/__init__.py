"""A florist's shop for a day: its staff, its customers, and what must be true in the evening."""
