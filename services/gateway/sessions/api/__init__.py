"""Shared parts of logins, permissions by realm, and requests about sessions."""
