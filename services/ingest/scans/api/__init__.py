"""Requests that record scans, and what the requests of all subjects share."""
