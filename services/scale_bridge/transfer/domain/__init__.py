"""Kinds of operations, outcomes, retries and the circuit breaker."""
