"""Realms: the API of users and logins as each product's clients know it."""
