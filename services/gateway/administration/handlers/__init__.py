"""Commands on accounts and members."""
