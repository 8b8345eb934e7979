"""Imports the data of the former shop system."""
