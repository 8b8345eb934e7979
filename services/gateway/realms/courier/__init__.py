"""Requests of the couriers' app."""
