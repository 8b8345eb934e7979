"""The relay's metrics."""

from typing import Final

from prometheus_client import Counter, Gauge

RELAYED: Final = Counter("tillstream_relayed_events", "Events Kafka has confirmed")
RELAY_BACKLOG: Final = Gauge(
    "tillstream_relay_backlog_events", "Committed events not yet on Kafka", multiprocess_mode="max"
)
REPUBLISH_LEFT: Final = Gauge(
    "tillstream_relay_republish_events_left",
    "Events of a topic that is sent again which Kafka does not have yet",
    multiprocess_mode="max",
)
