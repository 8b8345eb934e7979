"""Rules of imported tables."""
