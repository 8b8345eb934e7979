"""The columns of the log's table, and the conversion between its rows and events."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import asyncpg
import msgspec

from libs.eventsourcing.log import Metadata, RecordedEvent

COLUMNS: Final = """position, xid::text::bigint AS xid, event_id, tenant, stream, version, type,
    schema_version, data, metadata, occurred_at, recorded_at"""

TEXT_COLUMNS: Final = """position, xid::text AS xid, event_id::text AS event_id, tenant, stream,
    version, type, schema_version, data, metadata,
    to_json(occurred_at AT TIME ZONE 'UTC') AS occurred_at,
    to_json(recorded_at AT TIME ZONE 'UTC') AS recorded_at"""
"""The same columns for rows that are sent on as bytes: ids as text, times as JSON in UTC without an
offset. Decoding them into objects would take four times as long."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


def metadata_json(metadata: Metadata) -> bytes:
    """The column `metadata`: all but the tenant, as JSON."""
    fields = {
        "actor": metadata.actor,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
        "traceparent": metadata.traceparent,
    }
    return _encode({name: value for name, value in fields.items() if value is not None})


# Cached, because many rows have the same metadata.
@lru_cache(1024)
def _metadata(tenant: str, text: str) -> Metadata:
    return Metadata(tenant=tenant, **_decode(text))


def recorded_events(rows: Sequence[asyncpg.Record]) -> list[RecordedEvent]:
    """The events of rows of `COLUMNS`."""
    # Unpacked in the order of `COLUMNS`: look-ups by name would take a third of the time.
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
