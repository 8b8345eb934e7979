"""HTTP as every service does it: errors, access, health, limits."""
