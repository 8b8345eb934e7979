"""What scales show: the board, drift, and copies as of an instant."""
