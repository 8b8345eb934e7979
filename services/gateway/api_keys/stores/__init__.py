"""Keys seen lately, and when they were used."""
