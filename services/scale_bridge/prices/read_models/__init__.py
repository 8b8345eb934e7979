"""The delivery of prices, and the products of an article."""
