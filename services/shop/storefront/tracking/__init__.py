"""The tracking page: what customers see of an order by its link, and what they may change."""
