"""The document a scale holds, its wire format, faults and result codes."""
