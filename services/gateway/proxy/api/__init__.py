"""The steps from a client's request to the service's answer."""
