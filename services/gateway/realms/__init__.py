"""Users and logins, in the words of each product's clients."""
