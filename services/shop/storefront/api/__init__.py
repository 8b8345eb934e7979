"""Requests of the storefronts."""
