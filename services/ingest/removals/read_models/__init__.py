"""Questions about removals."""
