"""Our batches equal those of aiokafka, byte for byte."""

from collections.abc import Sequence

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from libs.eventsourcing.log import RecordedEvent
from libs.messaging.record_batch import RecordBatch, varint
from tests.libs.messaging.test_wire import events
from tests.libs.messaging.wires import batch_of, recorded, records_of


def by_aiokafka(batch: RecordBatch, most: int) -> BatchBuilder:
    """aiokafka's batch of the same records, as many as fit."""
    builder = BatchBuilder(most, 0)
    for one in records_of(batch):
        builder.append(timestamp=1_000, key=one.key, value=one.value, headers=one.headers)
    builder._set_producer_state(-1, -1, 0)
    return builder


@given(logged=st.lists(events, min_size=1, max_size=5), seq=st.integers(1, 2**62))
def test_every_batch_equals_the_one_that_aiokafka_encodes(
    logged: Sequence[RecordedEvent], seq: int
) -> None:
    batch = batch_of("lab", logged, seq, seq - 1)

    builder = by_aiokafka(batch, 2**20)

    assert batch.record_count() == len(logged)
    assert bytes(batch._build()) == bytes(builder._build())
    assert batch.size() == builder.size()


@pytest.mark.parametrize("size", [1, 60, 61, 127, 128, 8190, 8200, 70_000])
def test_a_batch_is_full_when_aiokafkas_would_be(size: int) -> None:
    data = b'"' + b"x" * size + b'"'
    logged = [recorded(n, version=n, data=data) for n in range(1, 40)]
    whole = batch_of("lab", logged, 1, 0, most=2**22)
    at_every_edge = {4 * size + 1_900 + more for more in range(-80, 80, 7)}

    for most in at_every_edge:
        cut = batch_of("lab", logged, 1, 0, most=most)
        builder = by_aiokafka(whole, most)
        assert cut.record_count() == builder.record_count()
        assert bytes(cut._build()) == bytes(builder._build())


def test_the_producers_state_is_in_the_batch_and_under_its_checksum() -> None:
    batch = batch_of("lab", [recorded(1)], 1, 0)
    builder = by_aiokafka(batch_of("lab", [recorded(1)], 1, 0), 2**20)
    for one in (batch, builder):
        one._set_producer_state(4711, 3, 815)

    assert bytes(batch._build()) == bytes(builder._build())
    assert batch.closed()


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, b"\0"), (63, b"\x7e"), (64, b"\x80\x01"), (8191, b"\xfe\x7f"), (8192, b"\x80\x80\x01")],
)
def test_numbers_are_zigzag_varints(number: int, encoded: bytes) -> None:
    assert varint(number) == encoded
