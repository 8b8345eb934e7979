"""Rows of the log as Kafka's record batches (format 2), made at once.

aiokafka takes a list of headers for every record and encodes each of them again. Here what records
have in common is encoded once, and a record is a few pieces joined. Every length and number in a
record is a varint in zigzag; `_LENGTH` has those of short values, which are ASCII characters.
"""

from functools import lru_cache
from struct import Struct
from typing import Any, Final

import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from libs.messaging.wire import METADATA, Headers, Row

REPEATING: Final = 1024
"""So many values are remembered of headers that many records share."""

_HEADER: Final = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, format, checksum, attributes, last offset, first and last
moment, producer's id and epoch, first sequence number, count."""
_BEHIND_LENGTH: Final = 12
_BEHIND_CHECKSUM: Final = 21
_CHECKSUM: Final = Struct(">I")
_CHECKSUM_AT: Final = 17
_FORMAT: Final = 2
_UNKNOWN: Final = -1

OWN_HEADERS: Final = 9
"""Headers each record has of its own, besides the version of its stream."""

_LENGTH: Final = [chr(2 * length) for length in range(64)]

_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode


class RecordBatch(BatchBuilder):  # type: ignore[misc]
    """A batch of records that bear the same moment, in milliseconds; aiokafka sends it as it would
    send its own, of which it calls what has an underscore."""

    def __init__(self, max_bytes: int, moment: int) -> None:
        self._max_bytes = max_bytes
        self._moment = moment
        self._pieces = [bytes(_HEADER.size)]
        self._bytes = _HEADER.size
        self._relative_offset = 0
        self._producer = _UNKNOWN, _UNKNOWN, 0
        self._buffer: bytearray | None = None
        self._closed = False

    def add(self, record: bytes) -> bool:
        """Add a record, as `RecordEncoder` makes it; False if it does not fit in any more."""
        place = _place(self._relative_offset)
        length = varint(len(place) + len(record))
        size = self._bytes + len(length) + len(place) + len(record)
        if size > self._max_bytes and self._relative_offset:
            return False
        self._pieces += length, place, record
        self._bytes = size
        self._relative_offset += 1
        return True

    def size(self) -> int:
        """In bytes."""
        return self._bytes

    def _set_producer_state(self, producer_id: int, epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, epoch, base_sequence

    def _build(self) -> bytearray:
        self.close()
        if self._buffer is None:
            self._buffer = self._built()
            self._pieces.clear()
        return self._buffer

    def _built(self) -> bytearray:
        buffer = bytearray().join(self._pieces)
        _HEADER.pack_into(
            buffer,
            0,
            0,
            len(buffer) - _BEHIND_LENGTH,
            _UNKNOWN,
            _FORMAT,
            0,
            0,
            self._relative_offset - 1,
            self._moment,
            self._moment,
            *self._producer,
            self._relative_offset,
        )
        checksum = calc_crc32c(memoryview(buffer)[_BEHIND_CHECKSUM:])
        _CHECKSUM.pack_into(buffer, _CHECKSUM_AT, checksum)
        return buffer


class StreamParts:
    """What all records of a stream have in common."""

    __slots__ = ("headers", "key")

    def __init__(self, stream: str) -> None:
        self.key = key = _with_length(stream.encode())
        self.headers = b"".join((_SUBJECT, key, _PARTITION_KEY, key))


class RecordEncoder:
    """Makes records of rows of the log: see `encode`."""

    def __init__(self, service: str) -> None:
        self._service = service
        # What the last row shared with the one before it, as most do that one client appended.
        self._last: tuple[Any, ...] = ()
        self._shared = (b"", b"")

    def encode(
        self, row: Row, relay_seq: int, prev_seq: int, parts: StreamParts, labels: Headers
    ) -> bytes:
        """The row as the `relay_seq`-th record of its log, behind `prev_seq` in its partition,
        but for its place in a batch.

        `labels` name the log: see `wire.label`.
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
        last = tenant, meta, name, number, labels
        if last != self._last:
            self._last, self._shared = last, self._sharing(*last)
        value = data.encode()
        seq, prev, position = str(relay_seq), str(prev_seq), str(position)
        # A moment is JSON text without an offset.
        own = (
            f"\x1ece_recordedtime{_LENGTH[len(logged_at) + 4]}{logged_at[1:-1]}+00:00"
            f"\x06xid{_LENGTH[len(xid)]}{xid}"
            f"\nce_idH{event_id}\x0ece_time{_LENGTH[len(at) + 4]}{at[1:-1]}+00:00"
            f"\x12relay_seq{_LENGTH[len(seq)]}{seq}\x10prev_seq{_LENGTH[len(prev)]}{prev}"
            f"\x10position{_LENGTH[len(position)]}{position}"
        )
        shared, with_version = self._shared
        if version is not None:
            shared, version = with_version, str(version)
            own = f"{own}\x1cstream_version{_LENGTH[len(version)]}{version}"
        return b"".join((parts.key, varint(len(value)), value, shared, parts.headers, own.encode()))

    def _sharing(
        self,
        tenant: str,
        metadata: str,
        name: str,
        schema_version: int,
        labels: Headers,
    ) -> tuple[bytes, bytes]:
        """Number of headers and those that are shared; of records without a version, and with."""
        headers = [
            *_of_type(self._service, name, schema_version),
            *_of_metadata(tenant, metadata),
            *labels,
        ]
        count, encoded = len(headers) + OWN_HEADERS, encode_headers(headers)
        return varint(count) + encoded, varint(count + 1) + encoded


def encode_headers(headers: Headers) -> bytes:
    """As they stand in a record, without their number."""
    return b"".join(_with_length(name.encode()) + _with_length(value) for name, value in headers)


def _with_length(value: bytes) -> bytes:
    return varint(len(value)) + value


@lru_cache(16_384)
def varint(number: int) -> bytes:
    """A number that is not negative, in zigzag: seven bits in a byte, the lowest first."""
    rest, encoded = 2 * number, bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


_SUBJECT: Final = _with_length(b"ce_subject")
_PARTITION_KEY: Final = _with_length(b"ce_partitionkey")


@lru_cache(16_384)
def _place(offset: int) -> bytes:
    """Attributes, moment since the batch's, and offset in it."""
    return b"\0\0" + varint(offset)


@lru_cache(REPEATING)
def _of_type(service: str, name: str, schema_version: int) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/tillstream/{service}".encode()),
        ("ce_type", f"tillstream.{service}.{name}".encode()),
        ("ce_dataschema", f"urn:tillstream:{service}:{name}:{schema_version}".encode()),
        ("content-type", b"application/json"),
    ]


@lru_cache(REPEATING)
def _of_metadata(tenant: str, metadata: str) -> Headers:
    fields = _decode_metadata(metadata)
    present = [(name, fields[name].encode()) for name in METADATA if name in fields]
    return [("tenant", tenant.encode()), *present]
