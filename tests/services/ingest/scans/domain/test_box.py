"""The status of a box, in any order of its events."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from itertools import permutations
from operator import add
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.scans.domain.box import (
    CARRY,
    BoxAction,
    BoxHistory,
    BoxStatus,
    BoxTransition,
    Tally,
    box_status,
    number,
    number_key,
    tally_event,
)
from tests.services.ingest.folded import one_by_one
from tests.services.ingest.history import a_scan, from_a_clock_ahead

EVENING = datetime(2025, 10, 31, 23, 0, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return EVENING + timedelta(minutes=minutes)


def tally_of(*events: tuple[int, str]) -> Tally:
    """The tally of scans so many minutes after 23:00, all on one day."""
    tallies = [
        tally_event(a_scan(number, kind=kind, scanned_at=at(minutes)))
        for number, (minutes, kind) in enumerate(events)
    ]
    return reduce(add, [one for one in tallies if one is not None])


def status_of(*events: tuple[int, str]) -> BoxStatus:
    return box_status(BoxHistory(day=tally_of(*events)))[0]


OPENED = BoxStatus(opened_at=at(0))


def closed(minutes: int, by: BoxAction = BoxAction.CLOSE) -> BoxStatus:
    return BoxStatus(opened_at=at(0), closed_at=at(minutes), closed_by=by)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(0, "BOX"), (1, "ITEM")], OPENED),
        ([(0, "BOX"), (1, "ITEM"), (9, "CLOSE")], closed(9)),
        ([(0, "BOX"), (1, "ITEM"), (9, "AUTO_CLOSE")], closed(9, BoxAction.AUTO_CLOSE)),
        ([(0, "BOX"), (9, "CLOSE"), (10, "ITEM")], closed(9)),
        ([(0, "BOX"), (9, "CLOSE"), (10, "ERROR"), (11, "CITY"), (12, "TELEPORT")], closed(9)),
        ([(0, "BOX"), (9, "CLOSE"), (60, "AUTO_CLOSE")], closed(60, BoxAction.AUTO_CLOSE)),
        ([(0, "BOX"), (9, "CLOSE"), (10, "BOX")], BoxStatus(opened_at=at(10))),
        ([(1, "ITEM")], BoxStatus()),
        ([(9, "CLOSE")], BoxStatus(closed_at=at(9), closed_by=BoxAction.CLOSE)),
        ([(9, "CLOSE"), (0, "BOX")], closed(9)),
    ],
    ids=[
        *("opened", "closed by hand", "closed by itself", "an item after closing does not open"),
        *("no other kind changes it", "the last of several closings counts", "opened again"),
        *("an item before the opening", "a closing before the opening", "which then comes"),
    ],
)
def test_the_last_transition_decides_whether_a_box_is_open(
    events: list[tuple[int, str]], expected: BoxStatus
) -> None:
    found = status_of(*events)

    assert found == expected
    assert found.is_open == (expected.closed_at is None)


BEFORE, AFTER = tally_of((0, "BOX"), (1, "ITEM")), tally_of((90, "ITEM"), (100, "CLOSE"))
LONG = tally_of((0, "BOX")), tally_of((1500, "ITEM")), tally_of((3000, "AUTO_CLOSE"))
END = closed(3000, BoxAction.AUTO_CLOSE)
SHUT, ITEM = tally_of((0, "BOX"), (9, "CLOSE")), tally_of((600, "ITEM"))
ANEW = tally_of((600, "BOX"), (610, "CLOSE"))
DAYS: dict[str, tuple[BoxHistory, BoxStatus, bool]] = {
    "its operator moved on": (BoxHistory(day=LONG[0], after=LONG[1:2]), OPENED, False),
    "closed after midnight": (BoxHistory(day=BEFORE, after=(AFTER,)), closed(100), False),
    "opened before midnight": (BoxHistory(before=(BEFORE,), day=AFTER), closed(100), True),
    "open over days, the first": (BoxHistory(day=LONG[0], after=LONG[1:]), END, False),
    "open over days": (BoxHistory(before=LONG[:1], day=LONG[1], after=LONG[2:]), END, True),
    "open over days, the last": (BoxHistory(before=LONG[:2], day=LONG[2]), END, True),
    "opened anew later": (BoxHistory(day=LONG[0], after=(ANEW,)), OPENED, False),
    "opened anew": (
        BoxHistory(before=LONG[:1], day=ANEW),
        BoxStatus(opened_at=at(600), closed_at=at(610), closed_by=BoxAction.CLOSE),
        False,
    ),
    "closed before, not brought along": (BoxHistory(before=(SHUT,), day=ITEM), BoxStatus(), False),
    "closed is closed": (
        BoxHistory(day=SHUT, after=(tally_of((600, "AUTO_CLOSE")),)),
        closed(9),
        False,
    ),
}


@pytest.mark.parametrize(("history", "expected", "continued"), DAYS.values(), ids=DAYS)
def test_a_box_continues_over_midnight_until_it_is_closed_or_opened_again(
    history: BoxHistory, expected: BoxStatus, continued: bool
) -> None:
    assert box_status(history) == (expected, continued)


def test_a_tie_is_broken_by_receive_time_then_by_id() -> None:
    one = BoxTransition(at(0), at(1), UUID(int=2), BoxAction.BOX, at(0))
    other = BoxTransition(at(0), at(2), UUID(int=1), BoxAction.CLOSE, at(0))
    later_id = BoxTransition(at(0), at(2), UUID(int=2), BoxAction.BOX, at(0))

    key = BoxTransition.on_device
    assert key(one) < key(other) < key(later_id)


@given(st.randoms(use_true_random=False), st.integers(0, 3 * 3600))
def test_a_box_has_the_status_of_its_device_however_far_the_clock_is_ahead(
    random: Random, seconds: int
) -> None:
    scans, boxes = from_a_clock_ahead(random, "anna", seconds=seconds)
    random.shuffle(scans)

    found: dict[str, Tally] = {}
    for scan in scans:
        added = tally_event(scan)
        assert added is not None
        found[scan.box] = found[scan.box] + added if scan.box in found else added

    status_of = {label: box_status(BoxHistory(day=one))[0] for label, one in found.items()}
    assert {label: one.is_open for label, one in status_of.items()} == boxes
    for one in status_of.values():
        assert one.opened_at is not None
        assert one.closed_at is None or one.opened_at <= one.closed_at


@pytest.mark.parametrize("minutes", [2, 5, 60])
def test_a_clock_corrected_meanwhile_leaves_no_box_open(minutes: int) -> None:
    opened = a_scan(9, kind="BOX", scanned_at=at(600), effective_at=at(0), received_at=at(0))
    later = {"scanned_at": at(minutes), "received_at": at(minutes)}
    turns = [
        tally_event(replace(opened, skewed=True)),
        tally_event(a_scan(1, kind="CLOSE", **later)),
    ]

    for one, other in permutations(one for one in turns if one is not None):
        assert box_status(BoxHistory(day=one + other))[0] == closed(minutes)


@pytest.mark.parametrize("changes", [{"box": ""}, {"kind": "REMOVE"}, {"kind": "BULK_REMOVE"}])
def test_scans_without_a_box_have_no_tally(changes: dict[str, str]) -> None:
    assert tally_event(a_scan(1, **changes)) is None


@pytest.mark.parametrize(
    ("label", "expected"),
    [("ivancov/8", "8"), ("a/b/7", "b/7"), ("8", "8"), ("ivancov/", ""), ("/8", "8")],
)
def test_the_number_is_the_part_behind_the_first_slash(label: str, expected: str) -> None:
    assert number(label) == expected


def test_numbers_sort_as_people_sort_them() -> None:
    order = ["", "0", "1", "2", "8", "8-2", "8a", "10", "10a", "10b", "101", "9" * 99, "b2", "b10"]

    assert sorted(set(order), key=lambda one: number_key(f"ivancov/{one}").encode()) == order
    assert number_key("x/008") == number_key("y/8")


EVENTS = st.tuples(
    st.integers(0, 10),
    st.integers(0, 3),
    st.integers(0, 1),
    st.sampled_from(["ITEM", "BOX", "CLOSE", "AUTO_CLOSE", "ERROR"]),
)


@given(st.lists(EVENTS, min_size=1, max_size=14), st.randoms(use_true_random=False), st.data())
def test_tallies_give_the_same_result_as_single_events(
    events: list[tuple[int, int, int, str]], random: Random, data: st.DataObject
) -> None:
    scans = [
        a_scan(
            number,
            kind=kind,
            scanned_at=EVENING + timedelta(days=day, minutes=minute),
            received_at=EVENING + timedelta(days=20, seconds=received),
        )
        for number, (day, minute, received, kind) in enumerate(events)
    ]
    days: dict[date, Tally] = {}
    batches = random.sample(scans, len(scans))
    while batches:
        size = random.randrange(1, 5)
        for day in {scan.effective_at.date() for scan in batches[:size]}:
            parts = [tally_event(s) for s in batches[:size] if s.effective_at.date() == day]
            batch = reduce(add, [part for part in parts if part is not None])
            days[day] = days[day] + batch if day in days else batch
        batches = batches[size:]

    drawn = data.draw(st.sampled_from(sorted(days)))
    near = {day: days[day] for day in sorted(days) if abs((day - drawn).days) <= CARRY}
    history = BoxHistory(
        before=tuple(one for day, one in near.items() if day < drawn),
        day=near[drawn],
        after=tuple(one for day, one in near.items() if day > drawn),
    )

    assert box_status(history) == one_by_one(scans, drawn, ZoneInfo("UTC"))
