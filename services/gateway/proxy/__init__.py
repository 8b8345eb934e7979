"""The proxy: a request through its door to the service behind."""
