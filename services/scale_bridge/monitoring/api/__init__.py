"""HTTP of the board, of shops, and of what scales show."""
