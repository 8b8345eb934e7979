"""Setting aside what cannot be applied: by stream, in order, visible, and to be tried again.

Once an event of a stream is parked, the later ones of that stream are parked behind it, so that a
read model never shows a stream with a hole; all other streams go on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from libs.eventsourcing.log import RecordedEvent
from libs.messaging.wire import Record, encode_headers

StreamKey: TypeAlias = tuple[str, str]
"""Tenant and stream."""

CAP: Final = 200
"""How many streams of a projection may be parked at a time."""


class TooManyParked(Exception):
    """So many streams fail that the projection itself is wrong; no more are parked."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A record set aside, and why: `reason` is a stable word, None if it only waits its turn."""

    stream: StreamKey
    record: Record
    reason: str | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedStream:
    """A row of the list people see."""

    projection: str
    tenant: str
    stream: str
    reason: str
    error: str
    parked_at: datetime
    attempts: int
    letters: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A parked record, as it came from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def record_of(service: str, event: RecordedEvent) -> StoredRecord:
    """An event of the log in the form of a record, for parking: it has no place in a topic yet."""
    return StoredRecord(
        topic="log",
        partition=0,
        offset=event.position,
        key=event.stream.encode(),
        value=event.data,
        headers=encode_headers(service, event, 0, 0),
    )


_PARKED_OF: Final = """
SELECT tenant, stream FROM parked_streams
WHERE projection = $1 AND (tenant, stream) IN (SELECT * FROM unnest($2::text[], $3::text[]))
"""

_PARK_STREAMS: Final = """
INSERT INTO parked_streams (projection, tenant, stream, reason, error)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT DO NOTHING
"""

_PARK: Final = """
INSERT INTO parked
    (projection, tenant, stream, topic, partition, record_offset, key, headers, value)
SELECT $1, tenant, stream, topic, partition, record_offset, key, headers::jsonb, value
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::bytea[], $8::text[],
    $9::bytea[]) AS letter
    (tenant, stream, topic, partition, record_offset, key, headers, value)
"""

_LIST: Final = """
SELECT s.projection, s.tenant, s.stream, s.reason, s.error, s.parked_at, s.attempts,
    count(p.id) AS letters
FROM parked_streams s LEFT JOIN parked p USING (projection, tenant, stream)
WHERE s.projection = $1 OR ($1::text IS NULL AND s.projection NOT LIKE '%@previous')
GROUP BY s.projection, s.tenant, s.stream ORDER BY s.parked_at
"""

_LETTERS: Final = """
SELECT topic, partition, record_offset, key, headers, value FROM parked
WHERE projection = $1 AND tenant = $2 AND stream = $3 ORDER BY id
"""


async def parked_among(
    connection: Any, projection: str, streams: Collection[StreamKey]
) -> set[StreamKey]:
    """Those of `streams` that are parked."""
    tenants, names = [tenant for tenant, _ in streams], [stream for _, stream in streams]
    rows = await connection.fetch(_PARKED_OF, projection, tenants, names)
    return {(row["tenant"], row["stream"]) for row in rows}


async def park(connection: Any, projection: str, letters: Sequence[Letter]) -> None:
    """Set `letters` aside, in their order. Raises TooManyParked at the cap."""
    if not letters:
        return
    first = {letter.stream: letter for letter in reversed(letters) if letter.reason}
    await connection.execute(
        _PARK_STREAMS,
        projection,
        [tenant for tenant, _ in first],
        [stream for _, stream in first],
        [letter.reason for letter in first.values()],
        [letter.error[:500].replace("\0", "") for letter in first.values()],
    )
    if first and (parked := await count(connection, projection)) > CAP:
        raise TooManyParked(f"{parked} streams of {projection} cannot be applied: it is wrong")
    records = [letter.record for letter in letters]
    await connection.execute(
        _PARK,
        projection,
        [letter.stream[0] for letter in letters],
        [letter.stream[1] for letter in letters],
        [record.topic for record in records],
        [record.partition for record in records],
        [record.offset for record in records],
        [record.key for record in records],
        [_write_headers(record.headers) for record in records],
        [record.value for record in records],
    )


async def count(connection: Any, projection: str) -> int:
    """How many streams of `projection` are parked."""
    query = "SELECT count(*) FROM parked_streams WHERE projection = $1"
    return int(await connection.fetchval(query, projection))


async def list_parked(connection: Any, projection: str | None = None) -> list[ParkedStream]:
    """What is parked, oldest first; by default of all but the previous editions."""
    return [ParkedStream(**dict(row)) for row in await connection.fetch(_LIST, projection)]


async def letters_of(connection: Any, projection: str, key: StreamKey) -> list[StoredRecord]:
    """The records of a parked stream, in order."""
    rows = await connection.fetch(_LETTERS, projection, *key)
    return [
        StoredRecord(
            row["topic"],
            row["partition"],
            row["record_offset"],
            row["key"],
            row["value"],
            _read_headers(row["headers"]),
        )
        for row in rows
    ]


async def release(connection: Any, projection: str, key: StreamKey) -> bool:
    """Lift the block and forget the letters; whether there was one."""
    query = "DELETE FROM parked_streams WHERE projection = $1 AND tenant = $2 AND stream = $3"
    return str(await connection.execute(query, projection, *key)) == "DELETE 1"


async def failed_again(connection: Any, projection: str, key: StreamKey, error: str) -> None:
    """Note one more try that did not help."""
    query = """UPDATE parked_streams SET attempts = attempts + 1, error = $4
        WHERE projection = $1 AND tenant = $2 AND stream = $3"""
    await connection.execute(query, projection, *key, error[:500].replace("\0", ""))


def _write_headers(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """JSON with values in base64, so that any byte survives (jsonb refuses NUL, in names too)."""
    clean = [(name.replace("\0", "?"), value) for name, value in headers]
    return msgspec.json.encode(clean).decode()


_read_headers = msgspec.json.Decoder(list[tuple[str, bytes | None]]).decode
