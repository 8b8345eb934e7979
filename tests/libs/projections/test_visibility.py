"""A write is visible when it is answered, and where it cannot be, the answer says so at once."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import pytest
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from httpx import AsyncClient
from starlette.requests import HTTPConnection

from libs.errors import Unauthenticated
from libs.eventsourcing.log import ANY
from libs.eventsourcing.store import EventStore
from libs.http.app import create_app
from libs.http.auth import Permission, Principal, public
from libs.http.lean_route import LeanRoute
from libs.http.visible import CONSISTENCY, STALE, caught_up, fresh, visible
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.projections.consistency import Consistency
from libs.testing.callers import client_of
from libs.testing.polling import eventually
from tests.libs.messaging.lab import Cursed, Numbered, order, running
from tests.libs.projections.shop import METADATA, Shop

MODELS: Final = ("ledger", "tally")
FOR_EVER: Final = 10_000.0
"""Seconds: who waits so long in vain fails the test."""
SHORT: Final = 0.2
KINDS: Final = pytest.mark.parametrize("kind", [APIRoute, LeanRoute])


@dataclass
class Deps:
    store: EventStore[Any]
    consistency: Consistency
    within: float


def routes(kind: type[APIRoute]) -> APIRouter:
    router = APIRouter(route_class=kind, dependencies=[Depends(public)])
    waits = [visible(*MODELS, within=lambda deps: deps.within)]

    @router.post("/written", dependencies=waits)
    async def write(request: Request) -> Response:
        """Append as many numbers as the body says to one stream; 409 below zero, after one."""
        number = int(await request.body())
        store = request.app.state.deps.store
        for n in range(abs(number)):
            await store.append(order(0), [Numbered(n)], expected=ANY, metadata=METADATA)
        if number < 0:
            raise HTTPException(409)
        return Response()

    at_once = visible(*MODELS, within=FOR_EVER, when_refused=False)

    @router.post("/refused-at-once", dependencies=[at_once])
    async def refused_at_once(request: Request) -> Response:
        return await write(request)

    @router.post("/undeclared")
    async def undeclared(request: Request) -> Response:
        return await write(request)

    return router


class Anybody(Permission):
    """Lets everybody with an `Authorization` in as a caller of the tenant `demo`."""

    async def __call__(self, request: HTTPConnection) -> Principal:
        if "authorization" not in request.headers:
            raise Unauthenticated
        return Principal("anna", METADATA.tenant, frozenset(), "test")


def readers() -> APIRouter:
    router, reads = APIRouter(), Anybody("read")

    @router.get("/fresh", dependencies=[fresh(*MODELS, of=reads, unless="as_of")])
    @router.get("/caught-up", dependencies=[caught_up(*MODELS, of=reads)])
    async def read(request: Request, status: int = 200) -> Response:
        return Response(status_code=status)

    return router


@asynccontextmanager
async def served(
    shop: Shop,
    kind: type[APIRoute] = LeanRoute,
    *,
    within: float = FOR_EVER,
    deadline: float = FOR_EVER,
    pool: asyncpg.Pool | None = None,
    doorbell: Doorbell | None = None,
) -> AsyncIterator[AsyncClient]:
    """A client of an API on the shop's log."""
    consistency = Consistency(pool or shop.pool, MODELS, deadline=deadline, doorbell=doorbell)
    deps = Deps(shop.store, consistency, within)
    app = create_app(title="test", routers=[routes(kind), readers()], deps=deps, checks={})
    async with client_of(app) as client:
        try:
            yield client
        finally:
            await consistency.close()


async def seen(shop: Shop) -> list[int]:
    return (await shop.rows()).get(order(0), [])


async def is_fresh(client: AsyncClient, number: int = 1) -> bool:
    """Write; whether the answer says that it is visible."""
    answer = await client.post("/written", content=str(number))
    assert answer.status_code == 200, answer.text
    return STALE not in answer.headers


def at_once(wait: Coroutine[Any, Any, bool]) -> bool:
    """What a coroutine returns without having waited for anything."""
    with pytest.raises(StopIteration) as returned:
        wait.send(None)
    value: bool = returned.value.value
    return value


@KINDS
async def test_a_write_is_visible_to_clients_without_token(
    shop: Shop, kind: type[APIRoute]
) -> None:
    async with running(shop.runner()), served(shop, kind) as client:
        for count in range(1, 26):
            assert await is_fresh(client)
            assert len(await seen(shop)) == count
            assert await shop.counted() == count


async def test_a_write_of_a_request_that_failed_is_visible(shop: Shop) -> None:
    async with running(shop.runner()), served(shop) as client:
        for count in range(1, 6):
            assert (await client.post("/written", content="-1")).status_code == 409
            assert len(await seen(shop)) == count


async def test_writes_are_visible_under_load_and_to_many_clients(shop: Shop) -> None:
    stop = asyncio.Event()

    async def load(client: int) -> None:
        while not stop.is_set():
            await shop.append(order(client), Numbered(0), tenant="other")

    async with running(shop.runner()), served(shop) as client:
        others = [asyncio.create_task(load(n)) for n in range(1, 9)]
        for count in range(1, 6):
            assert all(await asyncio.gather(*(is_fresh(client, 3) for _ in range(5))))
            assert len(await seen(shop)) == 15 * count
        stop.set()
        await asyncio.gather(*others)


@KINDS
async def test_an_answer_in_time_is_stale_while_the_runner_is_away_and_waited_for_again_later(
    shop: Shop, kind: type[APIRoute]
) -> None:
    async with served(shop, kind, within=SHORT) as client:
        assert [await is_fresh(client) for _ in range(3)] == [False] * 3
        async with running(shop.runner()):
            await eventually(lambda: is_fresh(client))


async def test_after_a_timeout_answers_do_not_wait_until_a_trial_succeeds(
    shop: Shop,
) -> None:
    consistency = shop.consistency()
    first = await shop.append(order(0), Numbered(1))
    assert not await consistency.wait_visible(MODELS, [first], SHORT)
    later = await shop.append(order(0), Numbered(2))
    assert not at_once(consistency.wait_visible(MODELS, [later], SHORT))
    # Those who would wait for longer still do.
    longer = asyncio.create_task(consistency.wait_visible(MODELS, [later], FOR_EVER))
    async with running(shop.runner()):
        assert await longer
        assert at_once(consistency.wait_visible(MODELS, [later], SHORT))

        async def waits_again() -> bool:
            token = await shop.append(order(0), Numbered(3))
            return await consistency.wait_visible(MODELS, [token], SHORT)

        await eventually(waits_again)
    await consistency.close()


READS: Final = pytest.mark.parametrize("path", ["/fresh", "/caught-up"])
CALLER: Final = {"Authorization": "Bearer anybody"}


@READS
async def test_a_read_includes_what_was_written_before(shop: Shop, path: str) -> None:
    async with running(shop.runner()), served(shop) as client:
        for count in range(1, 11):
            token = await shop.append(order(0), Numbered(count))
            answer = await client.get(path, headers=CALLER | {CONSISTENCY: token})
            assert (answer.status_code, STALE in answer.headers) == (200, False)
            assert len(await seen(shop)) == count


@READS
async def test_a_successful_read_that_lacks_writes_is_marked_in_time(shop: Shop, path: str) -> None:
    token = await shop.append(order(0), Numbered(1))
    async with served(shop, deadline=SHORT) as client:
        for status, is_marked in ((200, True), (404, False)):
            answer = await client.get(
                path, params={"status": status}, headers=CALLER | {CONSISTENCY: token}
            )
            assert (answer.status_code, STALE in answer.headers) == (status, is_marked)


async def test_a_read_without_a_token_or_of_the_past_does_not_wait(shop: Shop) -> None:
    token = await shop.append(order(0), Numbered(1))
    async with served(shop) as client:
        for query, headers in (("", {}), ("?as_of=then", {CONSISTENCY: token})):
            answer = await client.get(f"/fresh{query}", headers=CALLER | headers)
            assert (answer.status_code, STALE in answer.headers) == (200, False)


@READS
async def test_a_stranger_is_refused_without_a_wait(shop: Shop, path: str) -> None:
    token = await shop.append(order(0), Numbered(1))
    async with served(shop) as client:
        assert (await client.get(path, headers={CONSISTENCY: token})).status_code == 401


async def test_a_malformed_token_is_400(shop: Shop) -> None:
    async with served(shop) as client:
        answer = await client.get("/fresh", headers=CALLER | {CONSISTENCY: "then"})
    assert answer.status_code == 400


async def test_answers_without_a_write_or_a_declaration_do_not_wait(shop: Shop) -> None:
    async with served(shop) as client:
        for path, body, status in (
            ("/written", "0", 200),
            ("/undeclared", "1", 200),
            ("/undeclared", "-1", 409),
            ("/refused-at-once", "-1", 409),
        ):
            answer = await client.post(path, content=body)
            assert (answer.status_code, STALE in answer.headers) == (status, False)


async def test_answers_do_not_wait_for_parked_streams_or_a_detached_read_model(shop: Shop) -> None:
    await shop.append(order(7), Cursed(1))
    while await shop.step():
        pass
    async with served(shop) as client:
        assert [await is_fresh(client) for _ in range(2)] == [False] * 2
    await shop.pool.execute("TRUNCATE parked_events")
    await shop.pool.execute(
        "INSERT INTO projection_checkpoints SELECT (c).* FROM (SELECT jsonb_populate_record("
        ' c, \'{"name": "detached/tally"}\') AS c FROM projection_checkpoints c) AS copies'
    )
    await shop.pool.execute(
        "UPDATE projections SET checkpoint = 'detached/tally' WHERE name = 'tally'"
    )
    async with served(shop) as client:
        assert [await is_fresh(client) for _ in range(2)] == [False] * 2


async def test_no_connection_is_held_while_answers_wait(shop: Shop, database: str) -> None:
    async with (
        asyncpg.create_pool(database, min_size=1, max_size=1) as pool,
        served(shop, pool=pool) as client,
    ):
        waiting = [asyncio.create_task(is_fresh(client)) for _ in range(30)]
        for _ in range(20):
            assert await pool.fetchval("SELECT 1") == 1
        await eventually(lambda: shop.pool.fetchval("SELECT count(*) = 30 FROM events"))
        assert await pool.fetchval("SELECT 1") == 1
        assert not any(one.done() for one in waiting)
        async with running(shop.runner()):
            assert all(await asyncio.gather(*waiting))


async def test_a_database_that_is_away_makes_the_answer_stale_and_nothing_else(
    shop: Shop, database: str
) -> None:
    pool = await asyncpg.create_pool(database, min_size=0, max_size=1)
    await pool.close()
    async with served(shop, pool=pool, within=SHORT) as client:
        assert not await is_fresh(client)


async def test_a_waiting_answer_is_woken_by_the_doorbell(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.projections.visibility.PAUSE_SECONDS", FOR_EVER)
    doorbell = Doorbell("postgresql://nowhere", "lab")
    async with served(shop, doorbell=doorbell) as client:
        waiting = asyncio.create_task(is_fresh(client))
        await eventually(lambda: shop.pool.fetchval("SELECT count(*) = 1 FROM events"))
        while await shop.step():
            pass

        def rung() -> bool:
            doorbell.ring(PROJECTED)
            return waiting.done()

        await eventually(rung)
        assert await waiting


async def test_an_unknown_read_model_is_a_key_error(shop: Shop) -> None:
    with pytest.raises(KeyError):
        await shop.consistency().wait_visible(["nothing"], ["1.1"], SHORT)
