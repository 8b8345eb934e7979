"""Workbooks, written by a separate process."""
