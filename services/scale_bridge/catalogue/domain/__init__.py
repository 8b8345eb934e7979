"""Rules of catalogues, products, labels and dates."""
