"""The gateway: doors to the services, and who may pass them."""
