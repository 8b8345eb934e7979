"""What would be the same in a bakery and a bank."""
