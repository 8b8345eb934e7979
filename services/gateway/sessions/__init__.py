"""Sessions: logins, refreshes, ends, and the limits of attempts."""
