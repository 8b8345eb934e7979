"""Agents' rows and the tasks given to them."""
