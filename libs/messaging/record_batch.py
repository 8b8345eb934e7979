"""Encodes rows of the log as Kafka record batches (format 2).

aiokafka takes a list of headers for every record and encodes every header again. Here the headers
that records share are encoded once, and a record is joined from a few pieces. All lengths and
numbers in a record are zigzag varints; `_LENGTH` has those of short values, as ASCII characters.
"""

from functools import lru_cache
from struct import Struct
from typing import Final

import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from libs.messaging.wire import METADATA, Headers, Labels, Row

CACHED_HEADERS: Final = 1024
"""How many values of headers that many records share are cached."""

_HEADER: Final = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, format, checksum, attributes, last offset, first and last
timestamp, producer's id and epoch, first sequence number, count."""
_AFTER_LENGTH: Final = 12
_AFTER_CHECKSUM: Final = 21
_CHECKSUM: Final = Struct(">I")
_CHECKSUM_AT: Final = 17
_FORMAT: Final = 2
_UNKNOWN: Final = -1

OWN_HEADERS: Final = 9
"""The number of headers that differ in each record, without the version of its stream."""

_LENGTH: Final = [chr(2 * length) for length in range(64)]

_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode


class RecordBatch(BatchBuilder):  # type: ignore[misc]
    """A batch of records with one timestamp, in milliseconds since the epoch.

    aiokafka sends it like its own batches, whose methods with an underscore it calls.
    """

    def __init__(self, max_bytes: int, timestamp_ms: int) -> None:
        self._max_bytes = max_bytes
        self._timestamp_ms = timestamp_ms
        self._pieces = [bytes(_HEADER.size)]
        self._bytes = _HEADER.size
        self._relative_offset = 0
        self._producer = _UNKNOWN, _UNKNOWN, 0
        self._buffer: bytearray | None = None
        self._closed = False

    def add(self, record: bytes) -> bool:
        """Add a record of `RecordEncoder`. Returns False if it does not fit any more."""
        prefix = _record_prefix(self._relative_offset)
        length = varint(len(prefix) + len(record))
        size = self._bytes + len(length) + len(prefix) + len(record)
        if size > self._max_bytes and self._relative_offset:
            return False
        self._pieces += length, prefix, record
        self._bytes = size
        self._relative_offset += 1
        return True

    def size(self) -> int:
        """The size in bytes."""
        return self._bytes

    def _set_producer_state(self, producer_id: int, epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, epoch, base_sequence

    def _build(self) -> bytearray:
        self.close()
        if self._buffer is None:
            self._buffer = self._serialize()
            self._pieces.clear()
        return self._buffer

    def _serialize(self) -> bytearray:
        buffer = bytearray().join(self._pieces)
        _HEADER.pack_into(
            buffer,
            0,
            0,
            len(buffer) - _AFTER_LENGTH,
            _UNKNOWN,
            _FORMAT,
            0,
            0,
            self._relative_offset - 1,
            self._timestamp_ms,
            self._timestamp_ms,
            *self._producer,
            self._relative_offset,
        )
        checksum = calc_crc32c(memoryview(buffer)[_AFTER_CHECKSUM:])
        _CHECKSUM.pack_into(buffer, _CHECKSUM_AT, checksum)
        return buffer


class StreamParts:
    """The encoded key and headers that all records of a stream share."""

    __slots__ = ("headers", "key")

    def __init__(self, stream: str) -> None:
        self.key = key = _with_length(stream.encode())
        self.headers = b"".join((_SUBJECT, key, _PARTITION_KEY, key))


class RecordEncoder:
    """Encodes rows of the log as records."""

    def __init__(self, service: str) -> None:
        self._service = service

    def encode(
        self, row: Row, relay_seq: int, prev_seq: int, parts: StreamParts, labels: Labels
    ) -> bytes:
        """Encode a row as a record, without its length and its offset in a batch.

        The record has the number `relay_seq` in its log and follows number `prev_seq` in its
        partition. `labels` name the log, see `wire.label`.
        """
        (
            position,
            xid,
            event_id,
            tenant,
            _,
            version,
            name,
            number,
            data,
            meta,
            at,
            logged_at,
        ) = row
        value = data.encode()
        seq, prev, position = str(relay_seq), str(prev_seq), str(position)
        # Times are JSON strings without a UTC offset.
        own = (
            f"\x1ece_recordedtime{_LENGTH[len(logged_at) + 4]}{logged_at[1:-1]}+00:00"
            f"\x06xid{_LENGTH[len(xid)]}{xid}"
            f"\nce_idH{event_id}\x0ece_time{_LENGTH[len(at) + 4]}{at[1:-1]}+00:00"
            f"\x12relay_seq{_LENGTH[len(seq)]}{seq}\x10prev_seq{_LENGTH[len(prev)]}{prev}"
            f"\x10position{_LENGTH[len(position)]}{position}"
        )
        shared, with_version = _shared(self._service, tenant, meta, name, number, labels)
        if version is not None:
            shared, version = with_version, str(version)
            own = f"{own}\x1cstream_version{_LENGTH[len(version)]}{version}"
        return b"".join((parts.key, varint(len(value)), value, shared, parts.headers, own.encode()))


# Cached, because the rows of a request share them, and stand between those of other requests.
@lru_cache(CACHED_HEADERS)
def _shared(
    service: str, tenant: str, metadata: str, name: str, schema_version: int, labels: Labels
) -> tuple[bytes, bytes]:
    """Number of headers and shared headers, of records without and with a version."""
    headers = [*_of_type(service, name, schema_version), *_of_metadata(tenant, metadata), *labels]
    count, encoded = len(headers) + OWN_HEADERS, encode_headers(headers)
    return varint(count) + encoded, varint(count + 1) + encoded


def encode_headers(headers: Headers) -> bytes:
    """The headers as in a record, without their number."""
    return b"".join(_with_length(name.encode()) + _with_length(value) for name, value in headers)


def _with_length(value: bytes) -> bytes:
    return varint(len(value)) + value


@lru_cache(16_384)
def varint(number: int) -> bytes:
    """A non-negative number as zigzag varint: seven bits per byte, the lowest first."""
    rest, encoded = 2 * number, bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


_SUBJECT: Final = _with_length(b"ce_subject")
_PARTITION_KEY: Final = _with_length(b"ce_partitionkey")


@lru_cache(16_384)
def _record_prefix(offset: int) -> bytes:
    """Attributes, timestamp relative to the batch, and offset in the batch."""
    return b"\0\0" + varint(offset)


@lru_cache(CACHED_HEADERS)
def _of_type(service: str, name: str, schema_version: int) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/tillstream/{service}".encode()),
        ("ce_type", f"tillstream.{service}.{name}".encode()),
        ("ce_dataschema", f"urn:tillstream:{service}:{name}:{schema_version}".encode()),
        ("content-type", b"application/json"),
    ]


def _of_metadata(tenant: str, metadata: str) -> Headers:
    fields = _decode_metadata(metadata)
    present = [(name, fields[name].encode()) for name in METADATA if name in fields]
    return [("tenant", tenant.encode()), *present]
