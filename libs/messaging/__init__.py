"""From the log to Kafka, from Kafka to the read models."""
