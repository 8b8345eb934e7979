"""Who repeats, who conflicts, which rows are written: decided without a database."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest

from libs.eventsourcing.log import (
    ANY,
    AppendedStreams,
    EventIdReused,
    Expected,
    FactsAppended,
    NewEvent,
    NewFact,
    StreamAppend,
    VersionConflict,
)
from libs.eventsourcing.plan import (
    Append,
    AppendFacts,
    Known,
    LogPosition,
    Plan,
    Request,
    optimistic_plan,
    plan,
)
from tests.libs.eventsourcing import events
from tests.libs.eventsourcing.events import METADATA

HEAD = ("demo", "order-1")


def event(number: int) -> NewEvent:
    return events.new(UUID(int=number))


def fact(number: int) -> NewFact:
    return events.fact(UUID(int=number))


def append(*numbers: int, expected: Expected = ANY) -> Append:
    return append_streams({"order-1": numbers}, {"order-1": expected})


def append_streams(
    numbers: Mapping[str, Sequence[int]], expected: Mapping[str, Expected], *bound: int
) -> Append:
    """An append of the events with these numbers to each stream, and of the facts `bound`."""
    streams = [
        StreamAppend(stream=stream, events=[*map(event, events)], expected=expected[stream])
        for stream, events in numbers.items()
    ]
    return Append(streams, METADATA, [*map(fact, bound)])


def appended(token: str, version: int) -> AppendedStreams:
    return AppendedStreams({"order-1": version}, token)


def written(planned: Plan, *, xid: int = 9) -> dict[UUID, LogPosition]:
    """Where the rows are once transaction `xid` has inserted them, from position 1 on."""
    return {row.event.event_id: (xid, at) for at, row in enumerate(planned.rows, 1)}


def test_each_request_sees_the_writes_planned_before_it() -> None:
    planned = plan([append(1, expected=0), append(2, expected=1), append(3, expected=1)], {}, {})

    results = planned.results(written(planned), {})

    assert results[:2] == [appended("9.1", 1), appended("9.2", 2)]
    assert isinstance(results[2], VersionConflict)
    assert [row.version for row in planned.rows] == [1, 2]


def test_a_repeat_within_a_group_is_answered_like_the_first() -> None:
    planned = plan([append(1, 2), append(3), append(1, 2)], {}, {})

    first, second, repeat = planned.results(written(planned), {})

    assert (first, second) == (appended("9.2", 2), appended("9.3", 3))
    assert repeat == first


def test_known_ids_of_another_append_are_no_repeat() -> None:
    known = {
        UUID(int=1): Known(HEAD, 1, (4, 1)),
        UUID(int=2): Known(HEAD, 2, (5, 2)),
        UUID(int=3): Known(HEAD, 3, (6, 3)),
        UUID(int=4): Known(HEAD, None, (7, 4)),
        UUID(int=5): Known(("demo", "order-2"), 1, (8, 5)),
        UUID(int=6): Known(("other", "order-1"), 1, (8, 6)),
    }
    numbers = [(2, 1), (1, 3), (1, 9), (9, 1), (4,), (5,), (6,), (1, 4)]

    planned = plan([append(*given) for given in numbers], {HEAD: 3}, known)

    assert [type(outcome) for outcome in planned.outcomes] == [EventIdReused] * len(numbers)
    assert planned.rows == []


def test_a_refused_append_does_not_affect_later_requests() -> None:
    planned = plan([append(1, 1), append(2, expected=5), append(3, expected=0)], {}, {})

    assert [type(outcome) for outcome in planned.outcomes[:2]] == [EventIdReused, VersionConflict]
    assert [row.event.event_id.int for row in planned.rows] == [3]


def test_rows_have_the_same_order_in_every_plan() -> None:
    requests: list[Request] = [
        AppendFacts([fact(9), fact(8)], METADATA),
        append(5, 3),
        AppendFacts([fact(7)], METADATA),
    ]

    forward = plan(requests, {}, {})
    backward = plan(requests[::-1], {}, {})

    assert [row.event.event_id.int for row in forward.rows] == [7, 8, 9, 5, 3]
    assert forward.rows == backward.rows


def test_a_fact_in_two_requests_is_new_to_the_first_only() -> None:
    planned = plan(
        [AppendFacts([fact(1), fact(2)], METADATA), AppendFacts([fact(1)], METADATA)], {}, {}
    )

    results = planned.results({UUID(int=1): (9, 4)}, {UUID(int=2): (3, 6)})

    # 9 found what 3 had written, so a snapshot after 9 sees 3's facts too.
    assert results == [
        FactsAppended(frozenset({UUID(int=1)}), "9.6"),
        FactsAppended(frozenset(), "9.4"),
    ]


def binding(stream: str, number: int, *bound: int) -> Append:
    return append_streams({stream: [number]}, {stream: 0}, *bound)


def test_a_fact_appended_earlier_in_the_group_cannot_be_bound() -> None:
    planned = plan([AppendFacts([fact(1)], METADATA), binding("order-1", 2, 1)], {}, {})

    new, refused = planned.results(written(planned), {})

    assert new == FactsAppended(frozenset({UUID(int=1)}), "9.1")
    assert isinstance(refused, VersionConflict)
    assert len(planned.rows) == 1


def test_a_bound_fact_is_not_new_to_later_requests_of_the_group() -> None:
    planned = plan([binding("order-1", 2, 1), AppendFacts([fact(1), fact(3)], METADATA)], {}, {})

    assert planned.required == {UUID(int=1), UUID(int=2)}
    assert planned.results(written(planned), {}) == [
        appended("9.3", 1),
        FactsAppended(frozenset({UUID(int=3)}), "9.2"),
    ]


def test_an_optimistic_plan_assumes_the_version_that_the_first_append_expects() -> None:
    planned = optimistic_plan([append(1, expected=4), append(2, expected=5), append(3, expected=4)])

    assert planned is not None
    assert [row.version for row in planned.rows] == [5, 6]
    assert planned.assumed_versions == {HEAD: 4}
    assert isinstance(planned.outcomes[2], VersionConflict)


def test_a_stream_that_must_not_exist_needs_no_assumed_version() -> None:
    planned = optimistic_plan([append(1, expected=0)])

    assert planned is not None
    assert planned.assumed_versions == {}


def test_there_is_no_optimistic_plan_for_an_append_at_any_version() -> None:
    assert optimistic_plan([append(1, expected=0), append(2, expected=ANY)]) is not None
    assert optimistic_plan([append(1, expected=ANY), append(2, expected=0)]) is None


def test_an_append_to_several_streams_is_planned_as_a_whole_or_refused_with_what_moved() -> None:
    streams = {"item-2": [4], "order-1": [1, 2], "item-1": [3]}
    at = {("demo", "item-1"): 6, ("demo", "item-2"): 7}
    right: dict[str, Expected] = {"order-1": 0, "item-1": 6, "item-2": 7}
    stale: dict[str, Expected] = {"order-1": 0, "item-1": 5, "item-2": 6}

    refused = plan([append_streams(streams, stale)], at, {})
    planned = plan([append_streams(streams, right)], at, {})

    (conflict,) = refused.outcomes
    assert isinstance(conflict, VersionConflict)
    assert (sorted(conflict.streams), refused.rows) == (["item-1", "item-2"], [])
    assert [(row.stream, row.version) for row in planned.rows] == [
        *(("item-1", 7), ("item-2", 8), ("order-1", 1), ("order-1", 2)),
    ]
    assert planned.results(written(planned), {}) == [
        AppendedStreams({"item-1": 7, "item-2": 8, "order-1": 2}, "9.4")
    ]


def test_a_repeat_of_an_append_to_several_streams_gets_the_first_result() -> None:
    request = append_streams({"item-1": [1], "order-1": [2, 3]}, {"item-1": 4, "order-1": 0})
    known = {
        UUID(int=1): Known(("demo", "item-1"), 5, (3, 7)),
        UUID(int=2): Known(HEAD, 1, (3, 8)),
        UUID(int=3): Known(HEAD, 2, (3, 9)),
    }
    first = AppendedStreams({"item-1": 5, "order-1": 2}, "3.9")

    later = plan([request], {("demo", "item-1"): 8, HEAD: 6}, known)
    group = optimistic_plan([request, request])

    assert (later.results({}, {}), later.rows) == ([first], [])
    assert group is not None
    assert group.results(written(group, xid=3), {}) == [
        AppendedStreams(first.versions, "3.3"),
        AppendedStreams(first.versions, "3.3"),
    ]


def test_the_ids_of_one_append_to_several_streams_are_no_part_of_another() -> None:
    known = {
        UUID(int=1): Known(("demo", "item-1"), 5, (3, 7)),
        UUID(int=2): Known(HEAD, 1, (3, 8)),
    }
    wrong = [{"item-1": [2], "order-1": [1]}, {"item-1": [1], "order-1": [9]}]

    for streams in wrong:
        expected: dict[str, Expected] = dict.fromkeys(streams, ANY)
        (outcome,) = plan([append_streams(streams, expected)], {}, known).outcomes
        assert isinstance(outcome, EventIdReused)


def test_a_refused_append_is_no_reason_to_refuse_its_neighbours_optimistically() -> None:
    """The refused append assumes a version of item-1 that no inserted row would check."""
    moved = append_streams({"item-1": [2], "item-2": [3]}, {"item-1": 4, "item-2": 0})
    neighbour = append_streams({"item-1": [4]}, {"item-1": 5})
    first = append_streams({"item-2": [1]}, {"item-2": 0})

    assert optimistic_plan([first, moved, neighbour]) is None
    planned = plan([first, moved, neighbour], {("demo", "item-1"): 5}, {})

    assert [isinstance(outcome, VersionConflict) for outcome in planned.outcomes] == [
        *(False, True, False),
    ]


@pytest.mark.parametrize(
    "streams",
    [
        [],
        [StreamAppend(stream="order-1", events=[], expected=0)],
        [StreamAppend(stream="order-1", events=[event(n)], expected=n) for n in range(2)],
    ],
    ids=["no-stream", "no-event", "same-stream"],
)
def test_an_append_names_each_stream_once_with_an_event(streams: Sequence[StreamAppend]) -> None:
    with pytest.raises(ValueError, match="an append"):
        Append(streams, METADATA)
