"""An event on Kafka: CloudEvents 1.0 in binary mode, JSON as value, the stream as key.

Beside the CloudEvents attributes every record says where it stands: `relay_seq` numbers all
records of a service without a hole, `prev_seq` is the number before it in its own partition (0
for the first), so that a reader of one partition can prove that nothing is missing. Numbers begin
anew with every `incarnation` of the log, which `log_id` names. `xid` and `position` are the log's.
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

Row: TypeAlias = Any
"""A row of the log: the values of `libs.eventsourcing.rows.TEXT_COLUMNS`, in that order."""

REMEMBERED: Final = 2048
"""So many records are decoded once for all projectors of a process that follow the same topic."""

REPEATING: Final = 1024
"""So many values are remembered of headers that many records share."""

_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode

_pack: Final = msgspec.msgpack.Encoder().encode

METADATA: Final = ("actor", "correlation_id", "causation_id", "traceparent")
"""Headers that come from an event's metadata, as far as it has them."""


class Unreadable(Exception):
    """A record is not an event of ours: a header is missing or malformed, or there is no value."""


class Record(Protocol):
    """The part of aiokafka's ConsumerRecord that is read."""

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


class Delivered(msgspec.Struct):
    """An event as it came over Kafka, with its place in the topic's chain.

    All projectors of a process that follow the same topic meet the same one, so what the first of
    them reads in it, by its codec, is kept for the others.
    """

    recorded: RecordedEvent
    relay_seq: int
    prev_seq: int
    read_by: object = None
    envelope: Any = None


def label(log_id: str, incarnation: str) -> Headers:
    """The headers that name a log and its incarnation, both ASCII.

    Records sent before there were any do without: theirs is the first incarnation.
    """
    return [("log_id", log_id.encode("ascii")), ("incarnation", incarnation.encode("ascii"))]


def traceparents(rows: Sequence[Row]) -> list[str]:
    """The distinct trace contexts of rows of the log, in order."""
    metadata = dict.fromkeys(row[9] for row in rows)
    found = (_decode_metadata(text).get("traceparent") for text in metadata)
    return list(dict.fromkeys(filter(None, found)))


def decode(record: Record) -> Delivered:
    """Read a record back. Raises Unreadable."""
    if record.value is None:
        raise Unreadable("a record without a value")
    # Packed, headers are told apart by name, order and absence, and are nothing but bytes, of which
    # the garbage collector takes no notice.
    headers_packed = _pack(record.headers)
    key = record.topic, record.partition, record.offset, record.value, headers_packed
    if (known := _delivered.get(key)) is not None:
        return known
    try:
        headers: dict[str, Any] = dict(record.headers)
        delivered = Delivered(
            _recorded(headers, record.value),
            _number(headers["relay_seq"]),
            _number(headers["prev_seq"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"header {error}") from error
    if len(_delivered) >= REMEMBERED:
        del _delivered[next(iter(_delivered))]
    _delivered[key] = delivered
    return delivered


_delivered: Final[dict[tuple[str, int, int, bytes, bytes], Delivered]] = {}


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


@lru_cache(REPEATING)
def _type(schema: bytes) -> tuple[str, int]:
    _, _, _, name, version = _text(schema).split(":")
    return name, int(version)


@lru_cache(REPEATING)
def _metadata(tenant: bytes, *others: bytes | None) -> Metadata:
    told = (None if value is None else _text(value) for value in others)
    return Metadata(tenant=_name(tenant), **dict(zip(METADATA, told, strict=True)))


@lru_cache(REPEATING)
def _recorded_at(value: bytes) -> datetime:
    return datetime.fromisoformat(_text(value))


@lru_cache(REPEATING)
def _name(value: bytes) -> str:
    """What the log would take as a name: a foreign record may hold anything."""
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
    """What fits into a bigint column."""
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError("is no number of ours")
    return number
