"""Accounts: who somebody is, their addresses, and their roles in each realm."""
