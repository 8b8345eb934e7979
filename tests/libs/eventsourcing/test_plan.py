"""Who repeats, who conflicts, which rows are written: decided without a database."""

from uuid import UUID

from libs.eventsourcing.log import (
    ANY,
    Appended,
    EventIdReused,
    Expected,
    FactsAppended,
    NewEvent,
    NewFact,
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
    return Append("order-1", [event(number) for number in numbers], expected, METADATA)


def written(planned: Plan, *, xid: int = 9) -> dict[UUID, LogPosition]:
    """Where the rows are once transaction `xid` has inserted them, from position 1 on."""
    return {row.event.event_id: (xid, at) for at, row in enumerate(planned.rows, 1)}


def test_each_request_sees_the_writes_planned_before_it() -> None:
    planned = plan([append(1, expected=0), append(2, expected=1), append(3, expected=1)], {}, {})

    results = planned.results(written(planned), {})

    assert results[:2] == [Appended(1, "9.1"), Appended(2, "9.2")]
    assert isinstance(results[2], VersionConflict)
    assert [row.version for row in planned.rows] == [1, 2]


def test_a_repeat_within_a_group_is_answered_like_the_first() -> None:
    planned = plan([append(1, 2), append(3), append(1, 2)], {}, {})

    first, second, repeat = planned.results(written(planned), {})

    assert (first, second) == (Appended(2, "9.2"), Appended(3, "9.3"))
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
    return Append(stream, [event(number)], 0, METADATA, [fact(each) for each in bound])


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
        Appended(1, "9.3"),
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
