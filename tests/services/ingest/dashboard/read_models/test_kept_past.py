"""What is kept of the past is bounded, and forgotten when it is not used."""

from datetime import timedelta
from uuid import UUID

import pytest

from libs.eventsourcing.log import Entry
from libs.testing.polling import eventually
from services.ingest.dashboard.read_models.kept_past import KeptDays, KeptPast
from services.ingest.dashboard.read_models.timeline import EVENT_BYTES, Timeline
from services.ingest.scans.domain.day import Days
from tests.services.ingest.history import NOON, TODAY, ZONE

MODELS = ("activity",)


def entries(count: int) -> list[Entry]:
    return [
        Entry(n, UUID(int=n), "ScanRecorded", NOON + timedelta(seconds=n)) for n in range(count)
    ]


def day_before(days: int) -> Days:
    return Days(first=TODAY.first - timedelta(days=days), last=TODAY.first)


async def use(kept: KeptPast, days: Days, *, fails: bool = False) -> None:
    async with kept.of("demo", days, MODELS, ZONE) as known:
        if not len(known.timeline):
            known.timeline.add(entries(10))
        if fails:
            raise ZeroDivisionError


async def is_kept(kept: KeptPast, days: Days) -> bool:
    async with kept.of("demo", days, MODELS, ZONE) as known:
        return bool(len(known.timeline))


async def test_the_days_asked_for_last_are_kept_while_there_is_room() -> None:
    kept = KeptPast(most_bytes=3 * 10 * EVENT_BYTES)
    for n in range(4):
        await use(kept, day_before(n))
        await use(kept, day_before(0))

    assert [await is_kept(kept, day_before(n)) for n in (0, 3, 1)] == [True, True, False]


async def test_what_is_not_used_is_forgotten() -> None:
    kept = KeptPast(unused_seconds=0.01)
    await use(kept, TODAY)

    await eventually(lambda: kept.size, 0)


async def test_a_question_that_failed_leaves_nothing_half_known() -> None:
    kept = KeptPast()
    with pytest.raises(ZeroDivisionError):
        await use(kept, TODAY, fails=True)

    assert not await is_kept(kept, TODAY)


def test_a_day_with_too_many_states_keeps_every_other_one() -> None:
    known = KeptDays(Timeline(ZONE), step=10, most_bytes=250)
    for count in range(10, 81, 10):
        if count % known.step == 0:
            known.put(count, {"activity": bytes(100)})

    assert known.size <= 250
    assert (known.step, sorted(known.states)) == (40, [40, 80])
    assert known.nearest(79)[0] == 40


def test_what_comes_late_takes_its_place_and_later_states_are_forgotten() -> None:
    known = KeptDays(Timeline(ZONE), step=2, most_bytes=10_000)
    known.timeline.add(entries(8)[::2])
    for count in (2, 4):
        known.put(count, {})

    known.cut(known.timeline.add([entries(8)[5]]))

    assert list(known.timeline.positions) == [0, 2, 4, 5, 6]
    assert list(known.states) == [2]
    assert known.timeline.count_at(NOON + timedelta(seconds=5)) == 4
