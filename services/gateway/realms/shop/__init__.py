"""Staff, memberships and logins of the shops."""
