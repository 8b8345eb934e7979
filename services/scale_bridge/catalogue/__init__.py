"""A device's catalogue: products, labels, prices, revisions."""
