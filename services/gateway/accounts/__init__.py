"""Accounts: persons, their addresses, and their roles in each realm."""
