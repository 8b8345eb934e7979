"""The cache of queries of the past is bounded, and unused days expire."""

from datetime import timedelta
from uuid import UUID

import pytest

from libs.eventsourcing.log import Entry
from libs.testing.polling import eventually
from services.ingest.dashboard.read_models.timeline import EVENT_BYTES, Timeline
from services.ingest.dashboard.stores import CachedDays, PastCache
from services.ingest.scans.domain.day import Days
from tests.services.ingest.history import NOON, TODAY, ZONE

MODELS = ("activity",)


def entries(count: int) -> list[Entry]:
    return [
        Entry(n, UUID(int=n), "ScanRecorded", NOON + timedelta(seconds=n)) for n in range(count)
    ]


def day_before(days: int) -> Days:
    return Days(first=TODAY.first - timedelta(days=days), last=TODAY.first)


async def use(cache: PastCache, days: Days, *, fails: bool = False) -> None:
    async with cache.hold("demo", days, MODELS, ZONE) as cached:
        if not len(cached.timeline):
            cached.timeline.add(entries(10))
        if fails:
            raise ZeroDivisionError


async def is_cached(cache: PastCache, days: Days) -> bool:
    async with cache.hold("demo", days, MODELS, ZONE) as cached:
        return bool(len(cached.timeline))


async def test_the_last_used_days_are_cached_while_there_is_room() -> None:
    cache = PastCache(max_bytes=3 * 10 * EVENT_BYTES)
    for n in range(4):
        await use(cache, day_before(n))
        await use(cache, day_before(0))

    assert [await is_cached(cache, day_before(n)) for n in (0, 3, 1)] == [True, True, False]


async def test_unused_days_expire() -> None:
    cache = PastCache(unused_seconds=0.01)
    await use(cache, TODAY)

    await eventually(lambda: cache.size, 0)


async def test_a_failed_query_clears_its_days() -> None:
    cache = PastCache()
    with pytest.raises(ZeroDivisionError):
        await use(cache, TODAY, fails=True)

    assert not await is_cached(cache, TODAY)


def test_a_day_with_too_many_states_drops_every_other_one() -> None:
    cached = CachedDays(Timeline(ZONE), step=10, max_bytes=250)
    for count in range(10, 81, 10):
        if count % cached.step == 0:
            cached.put(count, {"activity": bytes(100)})

    assert cached.size <= 250
    assert (cached.step, sorted(cached.states)) == (40, [40, 80])
    assert cached.nearest(79)[0] == 40


def test_a_late_event_is_inserted_and_later_states_are_dropped() -> None:
    cached = CachedDays(Timeline(ZONE), step=2, max_bytes=10_000)
    cached.timeline.add(entries(8)[::2])
    for count in (2, 4):
        cached.put(count, {})

    cached.truncate(cached.timeline.add([entries(8)[5]]))

    assert list(cached.timeline.positions) == [0, 2, 4, 5, 6]
    assert list(cached.states) == [2]
    assert cached.timeline.count_at(NOON + timedelta(seconds=5)) == 4
