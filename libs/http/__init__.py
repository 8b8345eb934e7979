"""The same HTTP manners in every service."""
