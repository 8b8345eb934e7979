"""What members of the shop are to learn outside of its pages: the gateway sends it."""
