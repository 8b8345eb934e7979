"""The agent's identity, login and connection."""
