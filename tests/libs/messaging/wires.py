"""Kafka records made by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from aiokafka.record.memory_records import MemoryRecords

from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.eventsourcing.rows import metadata_json
from libs.messaging.record_batch import RecordBatch, RecordEncoder, StreamParts
from libs.messaging.wire import Headers

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
TOPIC = "t.lab.order"
LABELS = {"log_id": b"lab-1", "incarnation": b"first"}


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as received from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def text_row(event: RecordedEvent) -> tuple[Any, ...]:
    """The row of `TEXT_COLUMNS` of an event."""
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


def recorded(
    number: int,
    stream: str = "order-1",
    *,
    version: int | None = 1,
    type: str = "Numbered",
    data: bytes | None = None,
    tenant: str = "demo",
) -> RecordedEvent:
    """The recorded event with this number."""
    return RecordedEvent(
        event_id=UUID(int=number),
        type=type,
        schema_version=1,
        data=msgspec.json.encode({"n": number}) if data is None else data,
        occurred_at=NOW,
        position=number,
        xid=100 + number,
        stream=stream,
        version=version,
        metadata=Metadata(tenant=tenant),
        recorded_at=NOW,
    )


def batch_of(
    service: str,
    events: Sequence[RecordedEvent],
    first_seq: int,
    prev_seq: int,
    *,
    most: int = 2**20,
) -> RecordBatch:
    """As many events as fit into `most` bytes, numbered without gaps, unlabelled."""
    batch, encode, prev = RecordBatch(most, 1_000), RecordEncoder(service).encode, prev_seq
    for seq, event in enumerate(events, first_seq):
        if not batch.add(encode(text_row(event), seq, prev, StreamParts(event.stream), ())):
            break
        prev = seq
    return batch


def records_of(batch: RecordBatch) -> Sequence[Any]:
    """The records of a batch, as aiokafka reads them."""
    return [*(MemoryRecords(bytes(batch._build())).next_batch() or ())]


def encode_headers(service: str, event: RecordedEvent, relay_seq: int, prev_seq: int) -> Headers:
    """The headers of `event` as the `relay_seq`-th record of its service, unlabelled."""
    (record,) = records_of(batch_of(service, [event], relay_seq, prev_seq))
    return [*record.headers]


def record(
    event: RecordedEvent,
    offset: int,
    seq: int,
    prev: int,
    *,
    topic: str = TOPIC,
    partition: int = 0,
    but: Mapping[str, bytes | None] | None = None,
    without: Iterable[str] = (),
    value: bytes | None = b"?",
) -> StoredRecord:
    """`event` as a record of log `lab-1`, with the given headers or value replaced."""
    headers = dict(encode_headers("lab", event, seq, prev)) | LABELS | dict(but or {})
    return StoredRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        key=event.stream.encode(),
        value=event.data if value == b"?" else value,
        headers=[(name, text) for name, text in headers.items() if name not in set(without)],
    )


def lane(
    events: Sequence[RecordedEvent], *, topic: str = TOPIC, partition: int = 0
) -> list[StoredRecord]:
    """The records of a partition with exactly these events."""
    return [
        record(event, n, n + 1, n, topic=topic, partition=partition)
        for n, event in enumerate(events)
    ]
