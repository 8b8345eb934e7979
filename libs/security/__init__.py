"""Passwords, keys, tokens and sealing."""
