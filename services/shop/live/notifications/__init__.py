"""Notifications of members of the shop, which the gateway sends."""
