"""One task executed on a device: lease, circuit breaker, attempts, read-back."""
