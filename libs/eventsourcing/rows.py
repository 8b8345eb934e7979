"""Between the log's rows and its events."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec

from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.eventsourcing.plan import Row

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


def columns(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    """The parameters of `statements.INSERT`, in its order."""
    # What was appended together has the same metadata.
    all_metadata = {id(row.metadata): row.metadata for row in rows}
    texts = {each: metadata_json(metadata).decode() for each, metadata in all_metadata.items()}
    return (
        [row.event.event_id for row in rows],
        [row.metadata.tenant for row in rows],
        [row.stream for row in rows],
        [row.version for row in rows],
        [row.event.type for row in rows],
        [row.event.schema_version for row in rows],
        [row.event.data.decode() for row in rows],
        [texts[id(row.metadata)] for row in rows],
        [row.event.occurred_at for row in rows],
    )


def metadata_json(metadata: Metadata) -> bytes:
    """What the log stores of them beside the tenant, as JSON."""
    fields = {
        "actor": metadata.actor,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
        "traceparent": metadata.traceparent,
    }
    return _encode({name: value for name, value in fields.items() if value is not None})


# As many rows have the same one.
@lru_cache(1024)
def _metadata(tenant: str, text: str) -> Metadata:
    return Metadata(tenant=tenant, **_decode(text))


def recorded_event(row: asyncpg.Record) -> RecordedEvent:
    """An event out of a row of `statements.COLUMNS`."""
    return recorded_events([row])[0]


def recorded_events(rows: Sequence[asyncpg.Record]) -> list[RecordedEvent]:
    """Events out of rows of `statements.COLUMNS`."""
    # By place: a look-up by name would cost a third of the whole.
    return [
        RecordedEvent(
            event_id=event_id,
            type=type_name,
            schema_version=schema_version,
            data=data.encode(),
            occurred_at=occurred_at,
            position=position,
            xid=xid,
            stream=stream,
            version=version,
            metadata=_metadata(tenant, text),
            recorded_at=recorded_at,
        )
        for (
            position,
            xid,
            event_id,
            tenant,
            stream,
            version,
            type_name,
            schema_version,
            data,
            text,
            occurred_at,
            recorded_at,
        ) in rows
    ]


def text_row(event: RecordedEvent) -> tuple[Any, ...]:
    """The row of `statements.TEXT_COLUMNS` of an event."""
    return (
        event.position,
        str(event.xid),
        str(event.event_id),
        event.metadata.tenant,
        event.stream,
        event.version,
        event.type,
        event.schema_version,
        event.data.decode(),
        metadata_json(event.metadata).decode(),
        _moment(event.occurred_at),
        _moment(event.recorded_at),
    )


def _moment(moment: datetime) -> str:
    return f'"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}"'
