"""The storefront: what customers see of a shop, and how they order, without a login."""
