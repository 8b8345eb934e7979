"""Rules of one-time codes, bot updates and init data."""
