"""The company: what customers read about the shop, and its delivery zones."""
