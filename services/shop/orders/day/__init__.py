"""Days: what was sold and received, closed as often as there are later events."""
