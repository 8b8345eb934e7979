"""Kinds of operations, outcomes, failure texts, retries and the circuit breaker."""
