"""Commands and rules of the stock."""
