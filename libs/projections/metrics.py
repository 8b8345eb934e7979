"""What the projection runner counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PROJECTED: Final = Counter(
    "tillstream_projected_events", "Events applied to a read model", ["projection"]
)
LAG: Final = Gauge(
    "tillstream_projection_lag_events",
    "Events in the log not yet applied",
    ["projection"],
    multiprocess_mode="max",
)
FRESHNESS: Final = Histogram(
    "tillstream_freshness_seconds",
    "From the log to the read model",
    ["projection"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30, 300),
)
PARKED: Final = Gauge(
    "tillstream_parked_streams", "Streams set aside", ["projection"], multiprocess_mode="max"
)
DETACHED: Final = Gauge(
    "tillstream_projection_detached",
    "1 while the read model follows at a checkpoint of its own",
    ["projection"],
    multiprocess_mode="max",
)
PAGE: Final = Histogram(
    "tillstream_projection_page_events",
    "Events applied by one transaction",
    buckets=(1, 3, 10, 30, 100, 300, 1000, 2000, 5000),
)
