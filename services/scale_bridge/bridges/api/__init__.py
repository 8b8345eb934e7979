"""Requests of agents, and about them."""
