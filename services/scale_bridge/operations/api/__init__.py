"""HTTP of operations: queue one, run one and wait, read their history."""
