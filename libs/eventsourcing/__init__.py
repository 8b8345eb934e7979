"""Event sourcing: deciders, the log, and reading it."""
