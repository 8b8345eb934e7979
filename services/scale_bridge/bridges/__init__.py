"""Remote agents on a shop's network, which carry out operations for us."""
