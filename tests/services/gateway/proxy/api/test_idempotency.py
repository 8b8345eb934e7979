"""Requests that carry an `Idempotency-Key`, also when something is lost, late or too large."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
import pytest
from aiohttp import web
from httpx import AsyncClient, Response

from libs.postgres.pool import Pool
from libs.testing import callers
from libs.testing.clock import MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.servers import tcp_server
from services.gateway import bootstrap
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.doors.domain.door import AuthScheme, Limit, Rule, Shape
from services.gateway.proxy.api.idempotency import MAX_REQUEST_BYTES, MAX_STORED_BYTES
from services.gateway.proxy.stores import (
    Claim,
    IdempotencyStore,
    InFlight,
    RequestFingerprint,
    StoredResponse,
)
from tests.services.gateway.app import KEY, READER, Keys, Service
from tests.services.gateway.doorstep import door
from tests.services.gateway.harness import gateway_on

ORDERS: Final = "/orders"
SHOP: Final = door(
    "shop",
    AuthScheme.API_KEY,
    Shape.DETAIL,
    root=(ORDERS, "/plain"),
    rules=(
        Rule(("POST",), ORDERS, "scan:read", Limit.NONE, idempotent=True),
        Rule(("POST",), "/plain", "scan:read", Limit.NONE),
    ),
)


class Till:
    """The service: takes orders, numbers them, and answers as configured."""

    def __init__(self) -> None:
        self.orders: list[bytes] = []
        self.status = 201
        self.size = 0
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.orders.append(await request.read())
        number = len(self.orders)
        await self.free.wait()
        headers = {"Location": f"/orders/{number}", "Set-Cookie": "secret=1"}
        return web.json_response(
            {"number": number, "note": "x" * self.size}, status=self.status, headers=headers
        )


@dataclass
class Shop:
    """A client of a gateway with the shop for its only door, and its pool."""

    client: AsyncClient
    pool: Pool

    async def order(
        self,
        body: str = "roses",
        key: str | bytes | None = "first",
        by: str = KEY,
        path: str = ORDERS,
    ) -> Response:
        """Order something."""
        raw = key.encode() if isinstance(key, str) else key
        headers = [(b"X-API-Key", by.encode())]
        headers += [] if raw is None else [(b"Idempotency-Key", raw)]
        return await self.client.post(path, content=body, headers=headers)


@asynccontextmanager
async def open_shop(
    database: str, service_url: str, keys: Keys, **different: Any
) -> AsyncIterator[Shop]:
    """The shop in front of a service."""
    async with gateway_on(database, ingest_url=service_url, **different) as deps:
        known = KnownKeys(keys.look_up)
        app = bootstrap.create_app(replace(deps, doors=(SHOP,), keys=known))
        async with callers.client_of(app, base_url="http://gateway") as client:
            yield Shop(client, deps.system)


@pytest.fixture
def till(service: Service) -> Till:
    """What the service does with orders."""
    service.answer = made = Till()
    return made


@pytest.fixture
async def shop(database: str, service: Service, keys: Keys) -> AsyncIterator[Shop]:
    """One on a migrated database."""
    async with open_shop(database, service.url, keys) as made:
        yield made


async def test_the_same_again_is_done_once_and_answered_the_same(shop: Shop, till: Till) -> None:
    first, again = await shop.order(), await shop.order()

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() == {"number": 1, "note": ""}
    assert again.headers["location"] == "/orders/1"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert "set-cookie" not in again.headers
    assert till.orders == [b"roses"]


async def test_another_body_or_address_under_one_key_is_refused(shop: Shop, till: Till) -> None:
    await shop.order()

    for other in (await shop.order("tulips"), await shop.order(path=f"{ORDERS}?express=1")):
        assert other.status_code == 422
        assert other.json() == {"detail": "The Idempotency-Key belongs to another request"}
    assert till.orders == [b"roses"]


async def test_keys_callers_and_tenants_do_not_meet_nor_keyless(shop: Shop, till: Till) -> None:
    await shop.order()
    await shop.order("tulips", key="second")
    await shop.order("lilies", by=READER)
    for _ in range(2):
        await shop.order("asters", key=None)
        await shop.order("dahlias", path="/plain")

    assert till.orders == [b"roses", b"tulips", b"lilies", *[b"asters", b"dahlias"] * 2]


async def started(shop: Shop, till: Till) -> asyncio.Task[object]:
    """An order that the service has, and does not answer yet."""
    till.free.clear()
    task: asyncio.Task[object] = asyncio.create_task(shop.order())
    await eventually(lambda: till.orders, what="the order")
    return task


async def test_a_concurrent_repetition_has_to_wait(shop: Shop, till: Till) -> None:
    first = await started(shop, till)

    meanwhile = await shop.order()
    till.free.set()
    await first
    after = await shop.order()

    assert meanwhile.status_code == 409
    assert int(meanwhile.headers["retry-after"]) >= 1
    assert after.json() == {"number": 1, "note": ""}
    assert len(till.orders) == 1


async def test_of_many_at_once_one_is_done(shop: Shop, till: Till) -> None:
    idempotency_store = await asyncio.gather(*[shop.order() for _ in range(20)])

    assert len(till.orders) == 1
    assert {answer.status_code for answer in idempotency_store} <= {201, 409}
    assert {answer.text for answer in idempotency_store if answer.status_code == 201} == {
        '{"number": 1, "note": ""}'
    }


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        *((final, True) for final in (200, 204, 400, 404, 422)),
        *((once, False) for once in (303, 401, 403, 408, 409, 429, 500, 503)),
    ],
)
async def test_what_is_final_is_kept_and_what_may_be_otherwise_next_time_is_not(
    shop: Shop, till: Till, status: int, kept: bool
) -> None:
    till.status = status
    first = await shop.order()
    till.status = 201
    second = await shop.order()

    assert (first.status_code, second.status_code) == (status, status if kept else 201)
    assert len(till.orders) == (1 if kept else 2)


async def test_neither_key_nor_request_stands_in_the_table(shop: Shop, till: Till) -> None:
    await shop.order("a secret wish", key="my-own-key")

    (row,) = await shop.pool.fetch("SELECT * FROM idempotency")
    assert row["tenant"] == "demo"
    assert "secret" not in str(row)
    assert "my-own-key" not in str(row)


async def test_a_claim_of_a_crashed_process_expires(shop: Shop, till: Till) -> None:
    (await started(shop, till)).cancel()
    till.free.set()

    held = await shop.order()
    status = await shop.pool.fetchval("SELECT status FROM idempotency")
    await shop.pool.execute("UPDATE idempotency SET in_flight_until = now()")
    other, again = await shop.order("tulips"), await shop.order()

    assert status is None
    assert [one.status_code for one in (held, other, again)] == [409, 422, 201]
    assert till.orders == [b"roses", b"roses"]


async def test_after_a_day_a_key_may_be_used_anew(shop: Shop, till: Till) -> None:
    await shop.order()
    kept = await shop.pool.fetchval("SELECT kept_until - now() FROM idempotency")
    await shop.pool.execute("UPDATE idempotency SET kept_until = now()")
    await shop.order("tulips")

    assert 86_400 - PATIENCE_SECONDS < kept.total_seconds() <= 86_400
    assert till.orders == [b"roses", b"tulips"]


async def test_a_large_answer_is_given_once_and_never_done_twice(shop: Shop, till: Till) -> None:
    till.size = MAX_STORED_BYTES + 1
    first, again = await shop.order(), await shop.order()

    assert len(first.json()["note"]) == MAX_STORED_BYTES + 1
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

    async with tcp_server(half) as url, open_shop(database, url, keys) as shop:
        idempotency_store = [await shop.order() for _ in range(2)]

    assert [answer.status_code for answer in idempotency_store] == [502, 409]
    # Not a claim that runs out some time, but for good.
    assert "retry-after" not in idempotency_store[1].headers
    assert asked == 1


async def test_an_unreachable_service_did_nothing_and_may_be_retried(
    database: str, service: Service, keys: Keys, till: Till
) -> None:
    statuses = []
    for url in ("http://127.0.0.1:1", service.url):
        async with open_shop(database, url, keys) as shop:
            statuses.append((await shop.order()).status_code)

    assert statuses == [503, 201]


async def test_a_service_that_was_too_slow_may_still_be_at_work(
    database: str, service: Service, keys: Keys, till: Till
) -> None:
    till.free.clear()
    async with open_shop(database, service.url, keys, answer_seconds=0.2) as shop:
        slow, again = await shop.order(), await shop.order()

    assert (slow.status_code, again.status_code) == (504, 409)
    assert len(till.orders) == 1


async def test_without_its_table_nothing_is_done(database: str, shop: Shop, till: Till) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("ALTER TABLE gateway.idempotency RENAME TO gone")
    answer = await shop.order()
    await owner.close()

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert till.orders == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel"], ids=range(4))
async def test_a_key_that_is_none_is_refused(shop: Shop, till: Till, key: str) -> None:
    assert (await shop.order(key=key)).status_code == 400
    assert till.orders == []


async def test_a_body_that_is_too_large_to_be_compared_is_refused(shop: Shop, till: Till) -> None:
    fits = await shop.order("x" * MAX_REQUEST_BYTES)
    over = await shop.order("x" * (MAX_REQUEST_BYTES + 1), key="second")

    assert (fits.status_code, over.status_code) == (201, 413)
    assert len(till.orders) == 1


ASKING = RequestFingerprint(tenant="demo", caller="anna", key=b"k" * 32, fingerprint=b"f" * 32)
ANSWER = StoredResponse(
    status=201, headers=[(b"location", b"/1"), (b"x-\xe9", b"\xff")], body=b"\x00made"
)


@pytest.fixture
def idempotency_store(own_pool: Pool) -> IdempotencyStore:
    return IdempotencyStore(own_pool)


async def claimed(
    idempotency_store: IdempotencyStore, asking: RequestFingerprint = ASKING
) -> Claim:
    claim = await idempotency_store.claim(asking, seconds=60)
    assert isinstance(claim, Claim)
    return claim


async def test_an_answer_comes_back_as_it_was_and_is_not_released(
    idempotency_store: IdempotencyStore,
) -> None:
    claim = await claimed(idempotency_store)
    await idempotency_store.finish(claim, ANSWER)
    assert await idempotency_store.claim(ASKING, seconds=60) == ANSWER

    await idempotency_store.release(claim)

    assert await idempotency_store.claim(ASKING, seconds=60) == ANSWER


async def test_a_lost_claim_neither_finishes_nor_releases(
    idempotency_store: IdempotencyStore, own_pool: Pool
) -> None:
    lost = await claimed(idempotency_store)
    await own_pool.execute("UPDATE idempotency SET in_flight_until = now()")
    mine = await claimed(idempotency_store)

    await idempotency_store.release(lost)
    await idempotency_store.finish(lost, StoredResponse(status=400, headers=[], body=b"late"))
    with pytest.raises(InFlight):
        await idempotency_store.claim(ASKING, seconds=60)
    await idempotency_store.finish(mine, ANSWER)

    assert await idempotency_store.claim(ASKING, seconds=60) == ANSWER


async def test_what_is_older_than_a_day_is_swept_away(own_pool: Pool) -> None:
    seconds = MonotonicClock()
    idempotency_store = IdempotencyStore(own_pool, now=seconds)
    await claimed(idempotency_store)
    await own_pool.execute("UPDATE idempotency SET kept_until = now()")
    other = replace(ASKING, tenant="other", caller="ben", key=b"o" * 32)
    await claimed(idempotency_store, other)
    before = await own_pool.fetchval("SELECT count(*) FROM idempotency")

    seconds.advance(61)
    await idempotency_store.release(await claimed(idempotency_store, replace(other, key=b"p" * 32)))

    assert before == 2
    assert await own_pool.fetchval("SELECT array_agg(tenant) FROM idempotency") == ["other"]
