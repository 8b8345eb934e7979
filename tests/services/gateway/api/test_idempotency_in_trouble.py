"""Requests that carry an `Idempotency-Key` when something is lost, late or too large."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.gateway.api.idempotency import MOST_ASKED, MOST_KEPT
from tests.services.gateway.api.till import ORDERS, Shop, Till, opened, order
from tests.services.gateway.conftest import KEY, Keys, Service, crooked, until


@pytest.fixture
def till(service: Service) -> Till:
    """What the service does with orders."""
    made = Till()
    service.answer = made
    return made


@pytest.fixture
async def shop(database: str, service: Service, keys: Keys) -> AsyncIterator[Shop]:
    """One on a migrated database."""
    async with opened(database, service.url, keys) as made:
        yield made


async def test_a_claim_that_its_process_left_behind_runs_out(shop: Shop, till: Till) -> None:
    till.free.clear()
    first = asyncio.create_task(order(shop))
    await until(lambda: bool(till.orders))
    first.cancel()
    till.free.set()

    held = await order(shop)
    async with shop[1].acquire() as connection:
        (left,) = await connection.fetch("SELECT status, in_flight_until FROM idempotency")
        await connection.execute("UPDATE idempotency SET in_flight_until = now()")
    other = await order(shop, "tulips")
    again = await order(shop)

    assert left["status"] is None
    assert [one.status_code for one in (held, other, again)] == [409, 422, 201]
    assert till.orders == [b"roses", b"roses"]


async def test_after_a_day_a_key_may_be_used_anew(shop: Shop, till: Till) -> None:
    await order(shop)
    async with shop[1].acquire() as connection:
        kept = await connection.fetchval("SELECT kept_until - now() FROM idempotency")
        await connection.execute("UPDATE idempotency SET kept_until = now()")
    await order(shop, "tulips")

    assert 86_300 < kept.total_seconds() <= 86_400
    assert till.orders == [b"roses", b"tulips"]


async def test_a_large_answer_is_given_once_and_never_done_twice(shop: Shop, till: Till) -> None:
    till.size = MOST_KEPT + 1
    first = await order(shop)
    again = await order(shop)

    assert len(first.json()["note"]) == MOST_KEPT + 1
    assert (again.status_code, again.headers.get("retry-after")) == (409, None)
    assert len(till.orders) == 1


async def test_an_answer_that_was_cut_short_is_not_done_twice(database: str, keys: Keys) -> None:
    asked = 0

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"roses")
        asked += 1
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async with crooked(half) as url, opened(database, url, keys) as shop:
        answers = [await order(shop) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [502, 409]
    # Not a claim that runs out some time, but for good.
    assert "retry-after" not in answers[1].headers
    assert asked == 1


async def test_a_service_that_is_away_did_nothing_and_may_be_asked_again(
    database: str, service: Service, keys: Keys, till: Till
) -> None:
    async with opened(database, "http://127.0.0.1:1", keys) as shop:
        away = await order(shop)
    async with opened(database, service.url, keys) as shop:
        there = await order(shop)

    assert (away.status_code, there.status_code) == (503, 201)


async def test_a_service_that_was_too_slow_may_still_be_at_work(
    database: str, service: Service, keys: Keys, till: Till
) -> None:
    till.free.clear()
    async with opened(database, service.url, keys, answer_seconds=0.2) as shop:
        slow = await order(shop)
        again = await order(shop)

    assert (slow.status_code, again.status_code) == (504, 409)
    assert len(till.orders) == 1


async def test_without_its_table_nothing_is_done(database: str, shop: Shop, till: Till) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("ALTER TABLE gateway.idempotency RENAME TO gone")
    answer = await order(shop)
    await owner.close()

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert till.orders == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel"])
async def test_a_key_that_is_none_is_refused(shop: Shop, till: Till, key: str) -> None:
    headers = [(b"X-API-Key", KEY.encode()), (b"Idempotency-Key", key.encode())]
    answer = await shop[0].post(ORDERS, content="roses", headers=headers)

    assert answer.status_code == 400
    assert till.orders == []


async def test_a_body_that_is_too_large_to_be_compared_is_refused(shop: Shop, till: Till) -> None:
    fits = await order(shop, "x" * MOST_ASKED)
    over = await order(shop, "x" * (MOST_ASKED + 1), key="second")

    assert (fits.status_code, over.status_code) == (201, 413)
    assert len(till.orders) == 1
