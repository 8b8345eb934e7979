"""The sequence of account numbers, and advisory locks."""
