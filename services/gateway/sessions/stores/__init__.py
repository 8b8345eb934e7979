"""Sessions begun and revoked, attempts, known networks."""
