"""Catalogues, products, labels, dates and prices: decisions, state and comparison."""
