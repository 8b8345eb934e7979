"""A bakery: the smallest service there is, before its first feature."""
