"""Logins of the platform's own administrators."""
