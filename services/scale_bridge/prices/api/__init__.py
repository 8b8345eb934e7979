"""HTTP of prices and their delivery."""
