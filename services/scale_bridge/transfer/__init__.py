"""One operation carried out on a device: attempts, lease, circuit breaker."""
