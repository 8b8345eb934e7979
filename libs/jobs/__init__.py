"""Durable work: queues of jobs, the workers that run them, timers, and waiting for an end."""
