"""Orders: placed, paid, made, handed over; their comments, photos and issues."""
