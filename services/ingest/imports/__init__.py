"""Imports of spreadsheets and exports into the log."""
