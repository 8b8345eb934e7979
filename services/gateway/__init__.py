"""The gateway: doors to the services, authentication and accounts."""
