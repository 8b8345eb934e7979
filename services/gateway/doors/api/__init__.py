"""What the requests of all doors share."""
