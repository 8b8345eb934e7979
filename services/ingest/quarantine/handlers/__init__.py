"""Commands of the quarantine."""
