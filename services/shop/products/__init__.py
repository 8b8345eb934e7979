"""Products: what the shop sells, what it takes, and its prices."""
