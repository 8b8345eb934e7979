"""Commands on catalogues."""
