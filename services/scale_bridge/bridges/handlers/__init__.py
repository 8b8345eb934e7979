"""The agent's connection and the tasks it carries out."""
