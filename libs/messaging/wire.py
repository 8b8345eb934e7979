"""An event on Kafka: CloudEvents 1.0 in binary mode, JSON as value, the stream as key.

Beside the CloudEvents attributes every record says where it stands: `relay_seq` numbers all
records of a service without a hole, `prev_seq` is the number before it in its own partition (0
for the first), so that a reader of one partition can prove that nothing is missing. `xid` and
`position` are the log's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from libs.eventsourcing.log import Cause, RecordedEvent
from libs.eventsourcing.schema import MAX_STREAM

Headers: TypeAlias = list[tuple[str, bytes]]

_CAUSE: Final = ("actor", "correlation_id", "causation_id", "traceparent")


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


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event as it came over Kafka, with its place in the topic's chain."""

    recorded: RecordedEvent
    relay_seq: int
    prev_seq: int


def encode_headers(service: str, event: RecordedEvent, relay_seq: int, prev_seq: int) -> Headers:
    """The headers of `event` as the `relay_seq`-th record of its service."""
    cause = event.cause
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event.event_id).encode()),
        ("ce_source", f"/tillstream/{service}".encode()),
        ("ce_type", f"tillstream.{service}.{event.type}".encode()),
        ("ce_time", _write_time(event.occurred_at)),
        ("ce_subject", event.stream.encode()),
        ("ce_dataschema", f"urn:tillstream:{service}:{event.type}:{event.schema_version}".encode()),
        ("ce_partitionkey", event.stream.encode()),
        ("ce_recordedtime", _write_time(event.recorded_at)),
        ("content-type", b"application/json"),
        ("tenant", cause.tenant.encode()),
        ("relay_seq", b"%d" % relay_seq),
        ("prev_seq", b"%d" % prev_seq),
        ("xid", b"%d" % event.xid),
        ("position", b"%d" % event.position),
    ]
    if event.version is not None:
        headers.append(("stream_version", b"%d" % event.version))
    for name in _CAUSE:
        if (value := getattr(cause, name)) is not None:
            headers.append((name, value.encode()))
    return headers


def decode(record: Record) -> Delivered:
    """Read a record back. Raises Unreadable."""
    if record.value is None:
        raise Unreadable("a record without a value")
    try:
        headers = {name: _text(value) for name, value in record.headers if value is not None}
        recorded = _recorded(headers, record.value)
        return Delivered(recorded, _number(headers["relay_seq"]), _number(headers["prev_seq"]))
    except (KeyError, ValueError) as error:
        raise Unreadable(f"header {error}") from error


def _recorded(headers: dict[str, str], value: bytes) -> RecordedEvent:
    _, _, _, type_name, version = headers["ce_dataschema"].split(":")
    stream_version = headers.get("stream_version")
    return RecordedEvent(
        event_id=UUID(headers["ce_id"]),
        type=type_name,
        schema_version=int(version),
        data=value,
        occurred_at=datetime.fromisoformat(headers["ce_time"]),
        position=_number(headers["position"]),
        xid=_number(headers["xid"]),
        stream=_name(headers["ce_subject"]),
        version=_number(stream_version) if stream_version is not None else None,
        cause=Cause(
            tenant=_name(headers["tenant"]), **{name: headers.get(name) for name in _CAUSE}
        ),
        recorded_at=datetime.fromisoformat(headers["ce_recordedtime"]),
    )


def _text(value: bytes) -> str:
    text = value.decode()
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _name(text: str) -> str:
    """What the log would take as a name: a foreign record may hold anything."""
    if not 0 < len(text) <= MAX_STREAM:
        raise ValueError("is no name")
    return text


def _number(text: str) -> int:
    """What fits into a bigint column."""
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError("is no number of ours")
    return number


def _write_time(moment: datetime) -> bytes:
    return moment.astimezone(UTC).isoformat().encode()
