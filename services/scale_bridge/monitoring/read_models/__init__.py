"""What scales show and shall show, and the rows of the board."""
