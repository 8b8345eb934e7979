"""Recorded and revoked sessions, limits of attempts, known networks."""
