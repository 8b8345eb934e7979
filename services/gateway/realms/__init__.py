"""Users and logins of each product, in the form of its clients."""
