"""Live messages of orders and tasks, for the pages of the staff."""
