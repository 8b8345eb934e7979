"""Sessions: logins, refreshes, revocation, and limits of attempts."""
