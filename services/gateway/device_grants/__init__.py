"""Enrolment of devices by RFC 8628, and OAuth 2 tokens for programs."""
