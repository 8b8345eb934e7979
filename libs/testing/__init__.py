"""Helpers for the tests of all libraries and services: polling, clocks, clients, read models."""
