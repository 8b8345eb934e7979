"""Deduplication of the records of one partition, gaps, and incarnations."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from libs.messaging.dedup import Chain, Deduplicated, Position, deduplicate, link_of
from libs.messaging.wire import Record
from tests.libs.messaging.wires import LABELS, NOW, lane, record, recorded

NEW = LABELS | {"incarnation": b"second"}
OTHER = LABELS | {"log_id": b"lab-2"}


def sent(*places: tuple[int, int, int], by: dict[str, bytes] = LABELS) -> list[Any]:
    """Records at these offsets, with these numbers and previous numbers."""
    return [record(recorded(seq), at, seq, prev, but=by) for at, seq, prev in places]


def chain(seq: int, by: dict[str, bytes] = LABELS, **different: Any) -> Chain:
    return Chain(by["log_id"].decode(), by["incarnation"].decode(), seq, **different)


def at(offset: int, *chains: Chain, began_at: int = 0) -> Position:
    return Position(offset, began_at, chains)


def numbers(result: Deduplicated) -> list[int]:
    return [one.link.relay_seq for one in result.records if one.link]


FIVE = lane([recorded(n) for n in range(1, 6)])
TWICE = [*FIVE[:3], *sent((3, 1, 0), (4, 2, 1), (5, 3, 2))]


@pytest.mark.parametrize(
    ("records", "position", "new", "repeated", "then"),
    [
        (FIVE[:3], at(0), [1, 2, 3], 0, at(3, chain(3))),
        (FIVE, at(3, chain(3)), [4, 5], 3, at(5, chain(5))),
        (TWICE, at(0), [1, 2, 3], 3, at(6, chain(3))),
        (sent((4, 1, 0), (9, 2, 1)), at(0), [1, 2], 0, at(10, chain(2))),
        (FIVE[2:], at(2, began_at=2), [3, 4, 5], 0, at(5, chain(5), began_at=2)),
        (FIVE, at(2, began_at=2), [3, 4, 5], 2, at(5, chain(5), began_at=2)),
        (sent((7, 3, 2)), at(9, chain(2)), [3], 0, at(8, chain(3))),
        (
            sent((3, 1, 0), by=OTHER),
            at(3, chain(3)),
            [1],
            0,
            at(4, chain(3), chain(1, OTHER)),
        ),
        (
            sent((0, 1, 0)) + sent((1, 1, 0), by=OTHER) + sent((2, 2, 1)),
            at(0),
            [1, 1, 2],
            0,
            at(3, chain(2), chain(1, OTHER)),
        ),
        (
            sent((1, 2, 1)),
            at(3, chain(2, retired=True), chain(0, NEW)),
            [],
            1,
            at(3, chain(2, retired=True), chain(0, NEW)),
        ),
        (
            [
                *sent((1, 2, 1)),
                *sent((2, 1, 0), (3, 2, 1), by=NEW),
                *sent((2, 1, 0)),
            ],
            at(1, chain(1), chain(0, NEW, awaited=True), chain(7, OTHER)),
            [2, 1, 2],
            1,
            at(4, chain(2, retired=True), chain(2, NEW), chain(7, OTHER)),
        ),
    ],
    ids=[
        "from the start",
        "after the position",
        "a page sent twice",
        "missing offsets",
        "a topic whose first records were deleted",
        "records before the start",
        "a topic that lost records already read",
        "another log in the same topic",
        "two logs alternating",
        "records of a retired incarnation",
        "an incarnation that a person accepted in another partition",
    ],
)
def test_every_new_record_is_accepted_once(
    records: Sequence[Record],
    position: Position,
    new: list[int],
    repeated: int,
    then: Position,
) -> None:
    result = deduplicate(records, position)

    assert (numbers(result), result.repeated) == (new, repeated)
    assert (result.position, result.gap) == (then, None)


AFTER_TWO = "after number 2 came 4 at offset 3, which follows 3"
SECOND = "at offset 3 begins incarnation second of log lab-1"
NO_BEGINNING = "at offset 2 the first record of a log follows number 2"


@pytest.mark.parametrize(
    ("records", "position", "new", "next_offset", "words"),
    [
        ([*FIVE[:2], *FIVE[3:]], at(0), [1, 2], 2, AFTER_TWO),
        (FIVE[2:], at(0), [], 0, NO_BEGINNING),
        (FIVE[2:], at(1, began_at=1), [], 1, NO_BEGINNING),
        (sent((0, 9, 0)), at(5, chain(5)), [], 5, "after number 5 came 9 at offset 0"),
        (sent((5, 5, 3)), at(5, chain(4)), [], 5, "after number 4 came 5"),
        (sent((3, 1, 0), by=NEW), at(3, chain(3)), [], 3, SECOND),
        (
            sent((3, 4, 3)),
            at(3, chain(3, retired=True), chain(9, NEW)),
            [],
            3,
            "begins incarnation first of log lab-1",
        ),
    ],
    ids=[
        "a record is missing",
        "the beginning is missing",
        "what was there when reading began is missing",
        "a topic made anew",
        "a number that was another one's",
        "a log that was restored, whose numbers were used before",
        "a retired incarnation that continues",
    ],
)
def test_a_gap_stops_all_later_records(
    records: Sequence[Record], position: Position, new: list[int], next_offset: int, words: str
) -> None:
    result = deduplicate(records, position)

    assert (numbers(result), result.position.next_offset) == (new, next_offset)
    assert result.gap is not None
    assert words in result.gap.message


def test_a_foreign_record_is_passed_on_and_breaks_no_chain() -> None:
    """Neither does an unreadable event of ours that has sequence numbers."""
    foreign = record(recorded(7), 1, 7, 7, without=["relay_seq"])
    tenant_too_long = record(recorded(2), 2, 2, 1, but={"tenant": b"t" * 201})
    records = [record(recorded(1), 0, 1, 0), foreign, tenant_too_long, *sent((3, 3, 2))]

    result = deduplicate(records, at(0))
    again = deduplicate(records, result.position)

    assert [one.link and one.link.relay_seq for one in result.records] == [1, None, 2, 3]
    assert (result.gap, again.records, again.repeated) == (None, [], 4)


@pytest.mark.parametrize(
    "headers",
    [
        {"relay_seq": b"-1"},
        {"prev_seq": b"x"},
        {"relay_seq": str(2**63).encode()},
        {"relay_seq": None},
        {"log_id": "ä".encode()},
        {"log_id": b"a\0"},
        {"incarnation": b"x" * 201},
    ],
    ids=str,
)
def test_invalid_sequence_numbers_are_ignored(headers: dict[str, bytes | None]) -> None:
    assert link_of(record(recorded(1), 0, 1, 0, but=headers)) is None


def test_events_repeated_by_a_new_incarnation_are_recognised_by_their_age() -> None:
    floor = NOW + timedelta(seconds=1)
    result = deduplicate(sent((0, 1, 0), by=NEW), at(0, chain(0, NEW, floor=floor)))
    assert [one.floor for one in result.records] == [floor]
