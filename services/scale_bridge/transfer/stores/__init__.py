"""Leases, circuit breakers and rate limits, shared by all processes or local to one."""
