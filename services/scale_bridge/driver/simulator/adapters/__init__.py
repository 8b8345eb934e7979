"""Simulated scales that listen on ports of this machine."""
