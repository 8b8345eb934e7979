"""Doors: routes of each product, rate limits, CORS, and shapes of refusals."""
