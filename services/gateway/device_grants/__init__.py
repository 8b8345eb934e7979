"""Devices let in by RFC 8628, and OAuth 2 tokens for programs."""
