"""Questions about the stock."""
