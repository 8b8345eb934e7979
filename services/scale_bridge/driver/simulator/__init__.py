"""A simulated scale: the other end of the wire, byte for byte."""
