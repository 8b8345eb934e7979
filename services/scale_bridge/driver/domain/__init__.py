"""The document a scale holds, its faults and result codes."""
