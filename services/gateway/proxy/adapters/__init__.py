"""Services behind the doors: connections, breakers, tokens."""
