"""Requests of devices, and the pages on which they are approved."""
