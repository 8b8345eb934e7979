"""Events of the log as projections get them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.eventsourcing.store import envelope
from tests.libs.eventsourcing.events import WHEN


def test_an_envelope_has_every_field_of_the_recorded_event_under_its_name() -> None:
    metadata = {
        "tenant": "demo",
        "actor": "anna",
        "correlation_id": "request",
        "causation_id": "command",
        "traceparent": "00-1-1-01",
    }
    fields: dict[str, Any] = {
        "event_id": UUID(int=1),
        "stream": "scan-1",
        "version": 3,
        "occurred_at": WHEN,
        "recorded_at": WHEN + timedelta(seconds=1),
    }
    recorded = RecordedEvent(
        **fields,
        metadata=Metadata(**metadata),
        type="Tried",
        schema_version=1,
        data=b"{}",
        position=7,
        xid=5,
    )

    assert envelope(recorded, "event")._asdict() == fields | metadata | {"event": "event"}
