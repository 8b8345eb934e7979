"""The read model of accounts."""
