"""The queue, progress, and what a scale showed last."""
