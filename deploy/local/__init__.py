"""Real Postgres and Kafka on one machine, without Docker."""
