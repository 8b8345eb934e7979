"""Records scans, and answers queries about them."""
