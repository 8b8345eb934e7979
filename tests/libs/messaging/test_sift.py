"""Which records of a batch are new, and when one is missing."""

from collections.abc import Sequence

import pytest

from libs.eventsourcing.snapshot import NOTHING, Snapshot
from libs.messaging.checkpoints import Checkpoint
from libs.messaging.parking import StoredRecord
from libs.messaging.sift import Broken, sift
from libs.messaging.wire import Delivered
from tests.libs.messaging.wires import lane, record, recorded


def at(offset: int, seq: int | None = None, *, base: Snapshot = NOTHING) -> Checkpoint:
    return Checkpoint(generation=1, next_offset=offset, relay_seq=seq, base=base)


def sent(*places: tuple[int, int, int]) -> list[StoredRecord]:
    """Records at these offsets, with these numbers and the ones before them."""
    return [record(recorded(seq), offset, seq, prev) for offset, seq, prev in places]


START = at(0)
FIVE = lane([recorded(n) for n in range(1, 6)])
TWICE = [*FIVE[:3], *sent((3, 1, 0), (4, 2, 1), (5, 3, 2))]
# What of numbers 1 and 2, and what of 1 and 3, their transactions show.
FIRST_TWO, FIRST_AND_THIRD = Snapshot(103, 103), Snapshot(102, 105, frozenset({102, 104}))
MISSING, ANEW = (
    "after number 2 came 4, which follows 3",
    "offset 0, seen before, holds number 9 now",
)


@pytest.mark.parametrize(
    ("records", "place", "new", "repeated", "then"),
    [
        (FIVE[:3], START, [1, 2, 3], 0, at(3, 3)),
        (FIVE, at(3, 3), [4, 5], 3, at(5, 5)),
        (TWICE, START, [1, 2, 3], 3, at(6, 3)),
        (sent((4, 1, 0), (9, 2, 1)), START, [1, 2], 0, at(10, 2)),
    ],
    ids=["the beginning", "behind the checkpoint", "a page sent twice", "offsets left out"],
)
def test_what_is_new_is_taken_once(
    records: Sequence[StoredRecord],
    place: Checkpoint,
    new: list[int],
    repeated: int,
    then: Checkpoint,
) -> None:
    sifted = sift(records, place)

    assert numbers(sifted.records) == new
    assert (sifted.repeated, sifted.checkpoint, sifted.gap) == (repeated, then, None)


def numbers(records: Sequence[tuple[object, Delivered | Broken]]) -> list[int]:
    return [one.relay_seq for _, one in records if isinstance(one, Delivered)]


@pytest.mark.parametrize(
    ("records", "place", "new", "next_offset", "words"),
    [
        ([*FIVE[:2], *FIVE[3:]], START, [1, 2], 2, MISSING),
        (FIVE[2:], START, [], 0, ""),
        (sent((0, 3, 2)), START, [], 0, ""),
        (sent((0, 9, 0)), at(5, 5), [], 5, ANEW),
        (FIVE[2:], at(1, base=FIRST_TWO), [], 1, ""),
    ],
    ids=[
        "a record is missing",
        "the beginning is missing",
        "and offsets begin at 0 again",
        "a topic made anew",
        "the beginning of a rebuilt model is missing",
    ],
)
def test_a_gap_stops_everything_behind_it(
    records: Sequence[StoredRecord], place: Checkpoint, new: list[int], next_offset: int, words: str
) -> None:
    sifted = sift(records, place)

    assert (numbers(sifted.records), sifted.checkpoint.next_offset) == (new, next_offset)
    assert sifted.gap
    assert words in ("", sifted.gap)


def test_a_foreign_record_is_broken_and_breaks_no_chain() -> None:
    foreign = record(recorded(7), 1, 7, 7, without=["ce_id"])
    records = [record(recorded(1), 0, 1, 0), foreign, record(recorded(2), 2, 2, 1)]

    sifted = sift(records, START)
    again = sift(records, sifted.checkpoint)

    assert [type(one) for _, one in sifted.records] == [Delivered, Broken, Delivered]
    assert (again.records, again.repeated) == ([], 3)


def test_a_rebuilt_model_begins_in_the_middle_and_leaves_out_what_its_base_sees() -> None:
    sifted = sift(FIVE[:4], at(1, base=FIRST_TWO))
    assert (numbers(sifted.records), sifted.checkpoint.relay_seq) == ([3, 4], 4)

    whatever_the_order = sift(lane([recorded(n) for n in range(1, 7)]), at(0, base=FIRST_AND_THIRD))
    assert numbers(whatever_the_order.records) == [2, 4, 5, 6]
