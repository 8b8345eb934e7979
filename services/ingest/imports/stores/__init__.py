"""Rows an import rejected."""
