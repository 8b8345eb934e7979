"""The rules of orders."""
