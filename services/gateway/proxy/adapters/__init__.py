"""Connections to the services behind the doors."""
