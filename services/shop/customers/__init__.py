"""Customers: found by phone, with addresses, dates, statistics."""
