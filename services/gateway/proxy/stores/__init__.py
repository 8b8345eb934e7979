"""Answers to requests with an idempotency key."""
