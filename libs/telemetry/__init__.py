"""Logs, traces, metrics."""
