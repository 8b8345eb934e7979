"""An event on Kafka: CloudEvents 1.0 in binary mode, JSON as value, the stream as key.

Beside the CloudEvents attributes every record has sequence numbers: `relay_seq` numbers all records
of a service without a gap, `prev_seq` is the number of the previous record in the same partition (0
for the first), so that a reader of one partition can prove that nothing is missing. Numbers start
over with every `incarnation` of the log, whose id is `log_id`. `xid` and `position` are the log's.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

import msgspec

from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.eventsourcing.schema import MAX_NAME

Headers: TypeAlias = list[tuple[str, bytes]]
Labels: TypeAlias = tuple[tuple[str, bytes], ...]
"""The headers that name a log."""

Row: TypeAlias = Any
"""A row of the log: the values of `libs.eventsourcing.rows.TEXT_COLUMNS`, in that order."""

CACHED_HEADERS: Final = 1024
"""How many values of headers that many records share are cached."""

_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode

METADATA: Final = ("actor", "correlation_id", "causation_id", "traceparent")
"""Headers with an event's metadata; those it does not have are left out."""


class Unreadable(Exception):
    """A record is not an event of ours: a header is missing or malformed, or it has no value."""


class Record(Protocol):
    """The used part of aiokafka's ConsumerRecord."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class ReceivedEvent(msgspec.Struct, frozen=True):
    """An event received from Kafka, with its sequence numbers."""

    recorded: RecordedEvent
    relay_seq: int
    prev_seq: int


def label(log_id: str, incarnation: str) -> Labels:
    """The headers with a log's id and incarnation, both ASCII.

    Records of old releases lack them: they belong to the first incarnation.
    """
    return ("log_id", log_id.encode("ascii")), ("incarnation", incarnation.encode("ascii"))


def traceparents(rows: Sequence[Row]) -> list[str]:
    """The distinct trace contexts of rows of the log, in order."""
    metadata = dict.fromkeys(row[9] for row in rows)
    contexts = (_decode_metadata(text).get("traceparent") for text in metadata)
    return list(dict.fromkeys(filter(None, contexts)))


def decode(record: Record) -> ReceivedEvent:
    """Decode a record. Raises Unreadable."""
    if record.value is None:
        raise Unreadable("a record without a value")
    try:
        headers: dict[str, Any] = dict(record.headers)
        return ReceivedEvent(
            _recorded(headers, record.value),
            _number(headers["relay_seq"]),
            _number(headers["prev_seq"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"header {error}") from error


def _recorded(headers: dict[str, bytes], value: bytes) -> RecordedEvent:
    type_name, schema_version = _type(headers["ce_dataschema"])
    version = headers.get("stream_version")
    return RecordedEvent(
        event_id=_uuid(headers["ce_id"]),
        type=type_name,
        schema_version=schema_version,
        data=value,
        occurred_at=datetime.fromisoformat(_text(headers["ce_time"])),
        position=_number(headers["position"]),
        xid=_number(headers["xid"]),
        stream=_name(headers["ce_subject"]),
        version=None if version is None else _number(version),
        metadata=_metadata(headers["tenant"], *map(headers.get, METADATA)),
        recorded_at=_recorded_at(headers["ce_recordedtime"]),
    )


@lru_cache(CACHED_HEADERS)
def _type(schema: bytes) -> tuple[str, int]:
    _, _, _, name, version = _text(schema).split(":")
    return name, int(version)


@lru_cache(CACHED_HEADERS)
def _metadata(tenant: bytes, *others: bytes | None) -> Metadata:
    texts = (None if value is None else _text(value) for value in others)
    return Metadata(tenant=_name(tenant), **dict(zip(METADATA, texts, strict=True)))


@lru_cache(CACHED_HEADERS)
def _recorded_at(value: bytes) -> datetime:
    return datetime.fromisoformat(_text(value))


@lru_cache(CACHED_HEADERS)
def _name(value: bytes) -> str:
    """A text that the log accepts as a name; records of others may hold anything."""
    text = _text(value)
    if not 0 < len(text) <= MAX_NAME:
        raise ValueError("is no name")
    return text


def _uuid(value: bytes) -> UUID:
    return UUID(bytes=bytes.fromhex(value.decode("ascii").replace("-", "")))


def _text(value: bytes) -> str:
    if b"\0" in value:
        raise ValueError("holds a NUL character")
    return value.decode()


def _number(value: bytes) -> int:
    """A number that fits into a bigint column."""
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError("is no number of ours")
    return number
