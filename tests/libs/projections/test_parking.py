"""What cannot be applied is set aside by stream and model, in order; everything else goes on."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from libs.projections import parking
from libs.projections.parking import NotParked, ShardsApart, StillFailing, VersionMismatch
from libs.testing.polling import eventually
from tests.libs.messaging.lab import Cursed, Foreign, Numbered, running
from tests.libs.projections.shop import Shop

KEY = ("demo", "order-1")


async def parked_of(shop: Shop, model: str = "ledger") -> dict[str, tuple[str, int]]:
    """Why every parked stream is parked, and how many events wait in it."""
    listed = await parking.list_parked(shop.pool, model)
    return {one.stream: (one.reason, one.pending_events) for one in listed}


async def retry_all(shop: Shop) -> int:
    """Retry every parked stream; how many were released."""
    released = 0
    for one in await parking.list_parked(shop.pool, "ledger"):
        with suppress(NotParked, StillFailing):
            key = (one.tenant, one.stream)
            await parking.retry(shop.pool, shop.ledger.projection, key)
            released += 1
    return released


@pytest.mark.parametrize(
    ("bad", "reason"), [(Foreign(2), "unknown"), (Cursed(2), "failed")], ids=["unknown", "failed"]
)
@pytest.mark.parametrize("page", [1, 2, 3, 50])
async def test_a_stream_is_parked_from_the_bad_event_on_in_one_model_only(
    shop: Shop, bad: Any, reason: str, page: int
) -> None:
    for stream, event in (
        *(("order-1", Numbered(1)), ("order-1", bad), ("order-2", Numbered(3))),
        *(("order-1", Numbered(4)), ("order-2", Numbered(5)), ("order-1", Numbered(6))),
    ):
        await shop.append(stream, event)

    while await shop.step(page=page):
        pass

    assert await shop.rows() == {"order-1": [1], "order-2": [3, 5]}
    assert await parked_of(shop) == {"order-1": (reason, 3)}
    # The other read model knows all of them.
    assert await shop.counted() == 6
    assert await parked_of(shop, "tally") == {}


async def test_an_event_that_cannot_be_decoded_is_parked(shop: Shop) -> None:
    await shop.append("order-1", Numbered(1))
    await shop.pool.execute(
        "INSERT INTO events (event_id, tenant, stream, version, type, schema_version, data,"
        " metadata, occurred_at) VALUES (gen_random_uuid(), 'demo', 'order-1', 2, 'Numbered', 1,"
        """ '{"n": "text"}', '{}', now())"""
    )
    await shop.step()
    assert await shop.rows() == {"order-1": [1]}
    assert await parked_of(shop) == {"order-1": ("undecodable", 1)}


async def test_a_failed_retry_changes_nothing_and_dropping_releases_the_stream(
    shop: Shop,
) -> None:
    for event in (Numbered(1), Cursed(2), Numbered(3)):
        await shop.append("order-1", event)
    await shop.step()

    for attempts in (2, 3):
        with pytest.raises(StillFailing, match="a cursed event"):
            await parking.retry(shop.pool, shop.ledger.projection, KEY)
        (one,) = await parking.list_parked(shop.pool)
        assert (one.attempts, one.pending_events, one.error) == (
            attempts,
            2,
            "ValueError: a cursed event",
        )

    assert await shop.rows() == {"order-1": [1]}
    assert await parking.drop(shop.pool, shop.ledger.projection, KEY) == 2
    await shop.append("order-1", Numbered(4))
    await shop.step()
    assert await shop.rows() == {"order-1": [1, 4]}
    assert await parked_of(shop) == {}


async def test_a_retry_that_fails_midway_is_rolled_back(shop: Shop) -> None:
    await shop.append("order-1", Foreign(1))
    await shop.append("order-1", Cursed(2))
    await shop.step()
    shop.ledger.known = True

    with pytest.raises(StillFailing):
        await parking.retry(shop.pool, shop.ledger.projection, KEY)

    assert await shop.rows() == {}
    assert await parked_of(shop) == {"order-1": ("unknown", 2)}


async def test_a_retry_of_many_pages_stops_at_the_checkpoint(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "RETRY_PAGE", 4)
    await shop.append("order-1", Cursed(0))
    for n in range(1, 10):
        await shop.append("order-1", Numbered(n))
    await shop.step()
    await shop.append("order-1", Numbered(10))
    shop.ledger.cursed = False

    assert await parking.retry(shop.pool, shop.ledger.projection, KEY) == 10

    assert await shop.rows() == {"order-1": list(range(10))}
    await shop.step()
    assert await shop.rows() == {"order-1": list(range(11))}


async def test_a_stream_that_is_not_parked_can_be_neither_retried_nor_dropped(shop: Shop) -> None:
    await shop.append("order-1", Numbered(1))
    await shop.step()
    for act in (parking.retry, parking.drop):
        with pytest.raises(NotParked):
            await act(shop.pool, shop.ledger.projection, KEY)


async def test_a_stream_of_another_tenant_is_another_stream(shop: Shop) -> None:
    await shop.append("order-1", Cursed(1))
    await shop.append("order-1", Numbered(2), tenant="other")
    await shop.step()

    assert [one.tenant for one in await parking.list_parked(shop.pool, "ledger")] == ["demo"]
    assert await shop.pool.fetchval("SELECT tenant FROM ledger") == "other"


@pytest.mark.parametrize("shards", [1, 3])
async def test_events_that_come_during_retries_are_not_lost(shop: Shop) -> None:
    stop = asyncio.Event()
    retried, appended = 0, 0

    async def curse_and_bless() -> None:
        while not stop.is_set():
            shop.ledger.cursed = not shop.ledger.cursed
            await asyncio.sleep(0.002)

    async def retry_on() -> None:
        nonlocal retried
        while not stop.is_set():
            retried += await retry_all(shop)
            await asyncio.sleep(0.001)

    async with running(shop.runner(page=3)):
        moody, retrying = asyncio.create_task(curse_and_bless()), asyncio.create_task(retry_on())
        # On a busy machine it is chance when a parked event is retried.
        while appended < 150 or not retried:
            await shop.append(f"order-{appended % 3}", Cursed(appended))
            appended += 1
        stop.set()
        await moody
        await retrying
        shop.ledger.cursed = False
        assert await shop.consistency().caught_up("ledger", "demo")
        await retry_all(shop)
        await eventually(shop.rows, {f"order-{n}": list(range(n, appended, 3)) for n in range(3)})


@pytest.mark.parametrize("shards", [3])
async def test_a_retry_with_another_shard_key_waits_for_level_shards(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "PAUSE", 0)
    await shop.append("order-1", Cursed(1))
    async with running(shop.runner()):
        await eventually(lambda: parked_of(shop), {"order-1": ("failed", 1)})
        await eventually(shop.counted, 1)
    shop.ledger.cursed = False
    await shop.append("order-1", Numbered(2))
    # One shard goes on. Whether the stream is its own this code does not know, the worker's does.
    while await shop.step():
        pass
    for attempt in (parking.retry, parking.drop):
        with pytest.raises(ShardsApart):
            await attempt(shop.pool, shop.ledger.projection, KEY)
    assert await parked_of(shop) == {"order-1": ("failed", 2)}
    monkeypatch.undo()
    async with running(shop.runner()):
        assert await parking.retry(shop.pool, shop.ledger.projection, KEY) == 2
        await eventually(shop.rows, {"order-1": [1, 2]})


async def test_two_retries_at_once_apply_once(shop: Shop) -> None:
    await shop.append("order-1", Cursed(1))
    await shop.append("order-1", Numbered(2))
    await shop.step()
    shop.ledger.cursed = False

    both = (parking.retry(shop.pool, shop.ledger.projection, KEY) for _ in range(2))
    answers = await asyncio.gather(*both, return_exceptions=True)

    assert sorted(map(str, answers)) == sorted(["2", str(NotParked())])
    assert await shop.rows() == {"order-1": [1, 2]}


async def test_one_bad_event_among_many_is_found(shop: Shop) -> None:
    for n in range(200):
        await shop.append(f"order-{n}", Cursed(n) if n == 117 else Numbered(n))
    await shop.step()

    assert len(await shop.rows()) == 199
    assert await parked_of(shop) == {"order-117": ("failed", 1)}


@pytest.mark.parametrize("shards", [1, 3])
async def test_parked_streams_are_counted(shop: Shop) -> None:
    runner = shop.runner()
    await shop.append("order-1", Cursed(1))
    async with running(runner):
        await eventually(lambda: runner.progress("ledger").parked.get("ledger"), 1)
        shop.ledger.cursed = False
        await parking.retry(shop.pool, shop.ledger.projection, KEY)
        await shop.append("order-2", Numbered(2))
        await eventually(shop.rows, {"order-1": [1], "order-2": [2]})
        await eventually(lambda: runner.progress("ledger").parked.get("ledger"), 0)


FACT = """INSERT INTO events (event_id, tenant, stream, version, type, schema_version, data,
    metadata, occurred_at)
VALUES (gen_random_uuid(), 'demo', 'order-1', NULL, $1, 1, $2::text::jsonb, '{}', now())"""


@pytest.mark.parametrize("bad", [1, 2])
async def test_a_retry_applies_each_fact_once_whichever_became_visible_first(
    shop: Shop, bad: int
) -> None:
    first, second = ("Cursed" if n == bad else "Numbered" for n in (1, 2))
    async with shop.pool.acquire() as slow, slow.transaction():
        await slow.execute(FACT, first, '{"n": 1}')
        await shop.pool.execute(FACT, second, '{"n": 2}')
        await shop.step()
    await shop.step()
    assert await parked_of(shop) == {"order-1": ("failed", bad)}
    shop.ledger.cursed = False

    await parking.retry(shop.pool, shop.ledger.projection, KEY)

    assert {stream: sorted(seen) for stream, seen in (await shop.rows()).items()} == {
        "order-1": [1, 2]
    }


async def test_a_retry_by_another_version_changes_nothing(shop: Shop) -> None:
    await shop.append("order-1", Cursed(1))
    await shop.step()
    shop.ledger.cursed = False
    newer = replace(shop.ledger.projection, version=2)

    with pytest.raises(VersionMismatch):
        await parking.retry(shop.pool, newer, KEY)

    assert await parked_of(shop) == {"order-1": ("failed", 1)}
    assert await shop.rows() == {}


async def test_an_error_whose_text_cannot_be_stored_parks_its_stream_all_the_same(
    shop: Shop,
) -> None:
    shop.tally.error = ValueError("\0 \ud800")
    await shop.append("order-1", Numbered(1))
    await shop.step()
    assert await shop.rows() == {"order-1": [1]}
    assert await parked_of(shop, "tally") == {"order-1": ("failed", 1)}
