"""The doors: who may come in, and where they are led."""
