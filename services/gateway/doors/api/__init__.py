"""Shared parts of requests at the doors: CORS, refusals, local routes, addresses."""
