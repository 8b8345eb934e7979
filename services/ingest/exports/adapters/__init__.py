"""Workbooks, written by a process of their own."""
