"""Opening, changing and closing accounts."""
