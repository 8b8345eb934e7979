"""The worker, and what follows from a result."""
