"""Rules of sessions and of the claims in their tokens."""
