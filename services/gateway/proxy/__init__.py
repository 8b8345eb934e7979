"""The proxy: forwards a request through its door to the service behind."""
