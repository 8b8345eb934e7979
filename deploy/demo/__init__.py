"""A shop day played by simulated people."""
