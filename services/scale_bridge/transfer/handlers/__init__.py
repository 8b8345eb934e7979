"""A task executed on a device."""
