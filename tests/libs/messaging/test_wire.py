"""An event survives encoding and decoding, and foreign records are recognised."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.eventsourcing.log import Metadata, RecordedEvent
from libs.messaging.wire import ReceivedEvent, Unreadable, decode
from tests.libs.messaging.wires import StoredRecord, encode_headers, record, recorded

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)
numbers = st.integers(0, 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1))  # noqa: DTZ001

events = st.builds(
    RecordedEvent,
    event_id=st.uuids(),
    type=st.from_regex(r"[A-Z][A-Za-z]{0,20}", fullmatch=True),
    schema_version=st.integers(1, 100),
    data=texts.map(str.encode),
    occurred_at=moments,
    position=numbers,
    xid=numbers,
    stream=names,
    version=st.none() | st.integers(1, 2**31 - 1),
    metadata=st.builds(
        Metadata,
        tenant=names,
        actor=st.none() | texts,
        correlation_id=st.none() | texts,
        causation_id=st.none() | texts,
        traceparent=st.none() | texts,
    ),
    recorded_at=moments,
)


@given(event=events, seq=numbers, prev=numbers)
def test_a_decoded_record_equals_the_sent_event(event: RecordedEvent, seq: int, prev: int) -> None:
    headers = encode_headers("lab", event, seq, prev)

    delivered = decode(StoredRecord("t", 0, 0, event.stream.encode(), event.data, headers))

    assert delivered == ReceivedEvent(event, seq, prev)


def test_the_headers_are_cloudevents() -> None:
    event = recorded(7, version=3)

    headers = dict(encode_headers("lab", event, 12, 9))

    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": str(UUID(int=7)).encode(),
        "ce_source": b"/tillstream/lab",
        "ce_type": b"tillstream.lab.Numbered",
        "ce_time": b"2026-01-02T03:04:05.678000+00:00",
        "ce_subject": b"order-1",
        "ce_dataschema": b"urn:tillstream:lab:Numbered:1",
        "ce_partitionkey": b"order-1",
        "ce_recordedtime": b"2026-01-02T03:04:05.678000+00:00",
        "content-type": b"application/json",
        "tenant": b"demo",
        "relay_seq": b"12",
        "prev_seq": b"9",
        "stream_version": b"3",
        "xid": b"107",
        "position": b"7",
    }


@pytest.mark.parametrize(
    "name",
    [
        "ce_id",
        "ce_time",
        "ce_subject",
        "ce_dataschema",
        "ce_recordedtime",
        "tenant",
        "relay_seq",
        "prev_seq",
        "xid",
    ],
)
@pytest.mark.parametrize(
    "value",
    [None, b"", b"\xff\xfe", b"a\0b", b"x" * 201],
    ids=["null", "empty", "binary", "nul", "long"],
)
def test_a_malformed_header_is_unreadable(name: str, value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        decode(record(recorded(1), 0, 1, 0, but={name: value}))
    with pytest.raises(Unreadable):
        decode(record(recorded(1), 0, 1, 0, without=[name]))


@pytest.mark.parametrize("name", ["relay_seq", "prev_seq", "xid", "position", "stream_version"])
@pytest.mark.parametrize("value", [b"-1", b"9223372036854775808", b"1.5", b"one"])
def test_a_number_too_large_for_a_column_is_unreadable(name: str, value: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(record(recorded(1), 0, 1, 0, but={name: value}))


def test_additional_headers_are_ignored() -> None:
    strange = record(recorded(1), 0, 1, 0, but={"x-trace": b"abc", "empty": None})

    assert decode(strange).recorded == recorded(1)
