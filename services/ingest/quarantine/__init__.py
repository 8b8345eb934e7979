"""Events that are no valid scans: stored, corrected, accepted or dropped."""
