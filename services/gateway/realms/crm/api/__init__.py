"""Requests of the crm's clients."""
