"""Commands that run simulated scales."""
