"""What scales show: the board, drift, and the past."""
