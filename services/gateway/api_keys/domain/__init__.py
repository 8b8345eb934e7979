"""Rules of API keys."""
