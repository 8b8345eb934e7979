"""The rules of tasks."""
