"""What relay and projectors count."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RELAYED: Final = Counter("tillstream_relayed_events", "Events Kafka has confirmed")
RELAY_BACKLOG: Final = Gauge(
    "tillstream_relay_backlog_events", "Committed events not yet on Kafka", multiprocess_mode="max"
)
PROJECTED: Final = Counter(
    "tillstream_subscription_events", "Events applied to a read model", ["projection"]
)
DROPPED: Final = Counter(
    "tillstream_subscription_repeated", "Records seen before and dropped", ["projection"]
)
PROJECTION_LAG: Final = Gauge(
    "tillstream_subscription_lag",
    "Records on Kafka not yet applied",
    ["projection"],
    multiprocess_mode="max",
)
FRESHNESS: Final = Histogram(
    "tillstream_subscription_freshness_seconds",
    "From the log to the read model",
    ["projection"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30, 300),
)
PARKED: Final = Gauge(
    "tillstream_subscription_parked", "Streams set aside", ["projection"], multiprocess_mode="max"
)
