"""Questions about what scales show."""
