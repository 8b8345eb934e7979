"""Numbers of accounts, and locks."""
