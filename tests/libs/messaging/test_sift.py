"""Which records of a batch are new, and when one is missing."""

from collections.abc import Sequence

from libs.eventsourcing.snapshot import Snapshot
from libs.messaging.checkpoints import Checkpoint
from libs.messaging.sift import Broken, sift
from libs.messaging.wire import Delivered
from tests.libs.messaging.wires import lane, record, recorded

START = Checkpoint(generation=1, next_offset=0, relay_seq=None)


def numbers(records: Sequence[tuple[object, Delivered | Broken]]) -> list[int]:
    return [one.relay_seq for _, one in records if isinstance(one, Delivered)]


def test_everything_is_new_at_the_beginning() -> None:
    sifted = sift(lane([recorded(n) for n in range(1, 4)]), START)

    assert numbers(sifted.records) == [1, 2, 3]
    assert sifted.checkpoint == Checkpoint(generation=1, next_offset=3, relay_seq=3)
    assert sifted.gap is None


def test_what_lies_before_the_checkpoint_is_dropped() -> None:
    records = lane([recorded(n) for n in range(1, 6)])

    sifted = sift(records, Checkpoint(generation=1, next_offset=3, relay_seq=3))

    assert (numbers(sifted.records), sifted.repeated) == ([4, 5], 3)


def test_a_page_sent_twice_is_taken_once() -> None:
    events = [recorded(n) for n in range(1, 4)]
    twice = lane(events) + [record(e, n + 3, n + 1, n) for n, e in enumerate(events)]

    sifted = sift(twice, START)

    assert (numbers(sifted.records), sifted.repeated) == ([1, 2, 3], 3)
    assert sifted.checkpoint == Checkpoint(generation=1, next_offset=6, relay_seq=3)


def test_a_missing_record_stops_everything_behind_it() -> None:
    records = lane([recorded(n) for n in range(1, 6)])
    del records[2]

    sifted = sift(records, START)

    assert numbers(sifted.records) == [1, 2]
    assert sifted.checkpoint.next_offset == 2
    assert sifted.gap == "after number 2 came 4, which follows 3"


def test_a_topic_without_its_beginning_is_a_gap() -> None:
    records = lane([recorded(n) for n in range(1, 6)])

    assert sift(records[2:], START).gap
    # The same, but in a topic made anew: offsets begin at 0 again.
    assert sift([record(recorded(3), 0, 3, 2)], START).gap


def test_a_topic_made_anew_is_a_gap_and_not_a_repeat() -> None:
    sifted = sift(
        [record(recorded(9), 0, 9, 0)], Checkpoint(generation=1, next_offset=5, relay_seq=5)
    )

    assert sifted.gap == "offset 0, seen before, holds number 9 now"
    assert sifted.checkpoint.next_offset == 5


def test_offsets_kafka_left_out_are_no_gap_when_the_chain_is_whole() -> None:
    records = [record(recorded(1), 4, 1, 0), record(recorded(2), 9, 2, 1)]

    sifted = sift(records, START)

    assert (numbers(sifted.records), sifted.gap) == ([1, 2], None)


def test_a_foreign_record_is_broken_and_breaks_no_chain() -> None:
    foreign = record(recorded(7), 1, 7, 7, without=["ce_id"])
    records = [record(recorded(1), 0, 1, 0), foreign, record(recorded(2), 2, 2, 1)]

    sifted = sift(records, START)
    again = sift(records, sifted.checkpoint)

    assert [type(one) for _, one in sifted.records] == [Delivered, Broken, Delivered]
    assert (again.records, again.repeated) == ([], 3)


def test_a_rebuilt_model_begins_in_the_middle_of_the_chain() -> None:
    base = Snapshot(103, 103)  # sees the transactions of numbers 1 and 2
    place = Checkpoint(generation=2, next_offset=1, relay_seq=None, base=base)
    records = lane([recorded(n) for n in range(1, 5)])

    sifted = sift(records, place)

    assert numbers(sifted.records) == [3, 4]
    assert sifted.checkpoint.relay_seq == 4
    assert sift(records[2:], place).gap


def test_a_rebuilt_model_leaves_out_what_its_base_sees_whatever_the_order() -> None:
    base = Snapshot(102, 105, frozenset({102, 104}))
    place = Checkpoint(generation=2, next_offset=0, relay_seq=None, base=base)

    sifted = sift(lane([recorded(n) for n in range(1, 7)]), place)

    assert numbers(sifted.records) == [2, 4, 5, 6]
