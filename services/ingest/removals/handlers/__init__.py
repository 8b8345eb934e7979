"""Commands that remove."""
