"""From the log to Kafka, and from facts to reactions."""
