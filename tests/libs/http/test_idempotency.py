"""Requests with an `Idempotency-Key`, also when something is lost, late or too large."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from unittest.mock import AsyncMock
from uuid import UUID

import asyncpg
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from httpx import AsyncClient
from httpx import Response as Answer
from pydantic import BaseModel

from libs.errors import Refused, Unavailable
from libs.http import idempotency
from libs.http.app import create_app
from libs.http.auth import Principal, public
from libs.http.idempotency import MAX_STORED_BYTES, Once, idempotent
from libs.http.shapes import TRACED
from libs.postgres.idempotency import IdempotencyStore
from libs.postgres.pool import Pool
from libs.testing.callers import client_of
from libs.testing.databases import migrated
from libs.testing.polling import eventually
from libs.testing.pools import system_pool

EXPIRE_CLAIMS: Final = "UPDATE idempotency SET in_flight_until = now()"


class Order(BaseModel):
    """An order of flowers."""

    flowers: str
    note: str = ""


class SoldOut(Refused):
    """There are none left."""


@dataclass
class Till:
    """Takes orders, numbers them, and fails as configured. `orders` are by command id, as in a log:
    a repeated command has the first result."""

    orders: dict[UUID, Order] = field(default_factory=dict)
    calls: int = 0
    size: int = 0
    failure: BaseException | None = None
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, command_id: UUID, order: Order) -> Response:
        self.calls += 1
        self.orders.setdefault(command_id, order)
        await self.free.wait()
        if self.failure is not None:
            raise self.failure
        number = list(self.orders).index(command_id) + 1
        headers = {"Location": f"/orders/{number}", "Set-Cookie": "secret=1"}
        return JSONResponse({"number": number, "note": "x" * self.size}, 201, headers=headers)


@dataclass
class Deps:
    """What the routes receive."""

    system: Pool
    till: Till


async def principal(request: Request) -> Principal:
    """The caller that a header names."""
    return Principal(request.headers["x-caller"], "demo", frozenset(), "kiosk")


Caller = Annotated[Principal, Depends(principal)]


def router() -> APIRouter:
    router = APIRouter(dependencies=[Depends(public)])

    @router.post("/orders")
    @router.post("/express")
    async def order(
        body: Order, request: Request, caller: Caller, once: Annotated[Once, idempotent("order")]
    ) -> Response:
        async with once.attempt(caller, body) as attempt:
            if attempt.replay is not None:
                return attempt.replay
            till: Till = request.app.state.deps.till
            return attempt.finish(await till.take(attempt.command_id, body))

    @router.post("/refunds")
    async def refund(
        request: Request, caller: Caller, once: Annotated[Once, idempotent("refund")]
    ) -> Response:
        async with once.attempt(caller, None) as attempt:
            if attempt.replay is not None:
                return attempt.replay
            till: Till = request.app.state.deps.till
            answer = await till.take(attempt.command_id, Order(flowers="none"))
            # Nothing to refund is no result.
            return attempt.finish(answer) if till.size else answer

    @router.post("/stream")
    async def stream(
        request: Request, caller: Caller, once: Annotated[Once, idempotent("stream")]
    ) -> Response:
        async with once.attempt(caller, None) as attempt:
            request.app.state.deps.till.calls += 1
            return attempt.replay or attempt.finish(StreamingResponse(iter([b"a", b"b"])))

    return router


@dataclass
class Shop:
    """A client of the till."""

    client: AsyncClient
    app: FastAPI
    pool: Pool

    async def order(
        self, flowers: str = "roses", *, key: str | None = "first", by: str = "anna", **more: Any
    ) -> Answer:
        headers = {"X-Caller": by} | ({} if key is None else {"Idempotency-Key": key})
        path = more.pop("path", "/orders")
        body = {"flowers": flowers, **more}
        return await self.client.post(path, json=body, headers=headers)


@asynccontextmanager
async def open_shop(database: str, till: Till) -> AsyncIterator[Shop]:
    """The shop on a database of a service that has the table."""
    async with system_pool(database, "ingest") as pool:
        app = create_app(
            title="test",
            routers=[router()],
            deps=Deps(pool, till),
            checks={},
            problem_shape=TRACED,
        )
        async with client_of(app) as client:
            yield Shop(client, app, pool)


@pytest.fixture
def service_database(postgres_url: str) -> Iterator[str]:
    with migrated(postgres_url, "ingest") as url:
        yield url


@pytest.fixture
def till() -> Till:
    till = Till()
    till.free.set()
    return till


@pytest.fixture
async def shop(service_database: str, till: Till) -> AsyncIterator[Shop]:
    async with open_shop(service_database, till) as shop:
        yield shop


async def test_the_same_again_is_done_once_and_answered_the_same(shop: Shop, till: Till) -> None:
    first, again = await shop.order(), await shop.order()

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content == b'{"number":1,"note":""}'
    assert again.headers["location"] == "/orders/1"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert "set-cookie" not in again.headers
    assert till.calls == 1


async def test_the_same_content_in_another_spelling_is_the_same_request(shop: Shop) -> None:
    headers = {"X-Caller": "anna", "Idempotency-Key": "k", "Content-Type": "application/json"}
    bodies = (b'{"flowers":"roses","note":""}', b' {"note" : "", "flowers": "\\u0072oses"}', None)

    answers = [
        await shop.client.post("/orders", content=body, headers=headers) for body in bodies[:2]
    ]

    assert [one.json()["number"] for one in answers] == [1, 1]


async def test_another_content_with_the_same_key_is_a_conflict(shop: Shop, till: Till) -> None:
    await shop.order()
    other = await shop.order("tulips")

    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert till.calls == 1


async def test_keys_of_callers_and_of_other_things_to_do_are_different(
    shop: Shop, till: Till
) -> None:
    till.size = 1
    await shop.order()
    await shop.order(key="second")
    await shop.order(by="ben")
    await shop.order(path="/refunds")
    for _ in range(2):
        await shop.order(key=None)
        # The same thing at another address.
        await shop.order(path="/express")

    assert till.calls == 6


async def started(shop: Shop, till: Till) -> asyncio.Task[Answer]:
    """An order that is being carried out."""
    till.free.clear()
    task = asyncio.create_task(shop.order())
    await eventually(lambda: till.calls, what="the order")
    return task


async def test_a_concurrent_repetition_waits_for_the_answer(shop: Shop, till: Till) -> None:
    first = await started(shop, till)
    others = [asyncio.create_task(shop.order()) for _ in range(5)]
    await asyncio.sleep(0.1)
    till.free.set()

    answers = [await one for one in (first, *others)]

    assert {one.content for one in answers} == {b'{"number":1,"note":""}'}
    assert till.calls == 1


async def test_a_concurrent_repetition_does_not_wait_for_ever(
    shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.1)
    first = await started(shop, till)

    meanwhile = await shop.order()
    till.free.set()
    await first

    assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "CONFLICT")
    assert int(meanwhile.headers["retry-after"]) >= 1
    assert till.calls == 1


async def test_of_many_at_once_one_is_done(shop: Shop, service_database: str, till: Till) -> None:
    async with open_shop(service_database, till) as other:
        answers = await asyncio.gather(*(one.order() for one in (shop, other) for _ in range(10)))

    assert {one.content for one in answers} == {b'{"number":1,"note":""}'}
    assert till.calls == 1


async def test_after_a_crash_the_repetition_has_the_result_of_the_first(
    shop: Shop, till: Till
) -> None:
    crashed = await started(shop, till)
    crashed.cancel()
    till.free.set()
    await shop.pool.execute(EXPIRE_CLAIMS)

    other, again = await shop.order("tulips"), await shop.order()

    assert [one.status_code for one in (other, again)] == [409, 201]
    assert (till.calls, len(till.orders)) == (2, 1)


@pytest.mark.parametrize("failure", [SoldOut(), HTTPException(400, "no")])
async def test_what_was_refused_may_be_repeated_or_changed(
    shop: Shop, till: Till, failure: Exception
) -> None:
    till.failure = failure
    refused = await shop.order()
    till.failure = None

    assert refused.status_code in (400, 409)
    assert (await shop.order("tulips")).status_code == 201
    assert (await shop.order("roses")).status_code == 409


@pytest.mark.parametrize("failure", [Unavailable(), KeyError("bug"), ConnectionResetError()])
async def test_what_failed_may_be_repeated_at_once_as_the_same_command(
    shop: Shop, till: Till, failure: Exception
) -> None:
    till.failure = failure
    failed = await shop.order()
    till.failure = None

    other, again = await shop.order("tulips"), await shop.order()

    assert failed.status_code in (500, 503)
    assert [one.status_code for one in (other, again)] == [409, 201]
    assert (till.calls, len(till.orders)) == (2, 1)


async def test_a_refusal_after_a_failure_does_not_free_what_may_have_been_done(
    shop: Shop, till: Till
) -> None:
    for till.failure in (Unavailable(), SoldOut()):
        await shop.order()
    till.failure = None

    other, again = await shop.order("tulips"), await shop.order()

    assert [one.status_code for one in (other, again)] == [409, 201]
    assert len(till.orders) == 1


async def test_an_answer_that_is_no_result_is_not_stored(shop: Shop, till: Till) -> None:
    for _ in range(2):
        answer = await shop.order(path="/refunds")
        assert "idempotent-replayed" not in answer.headers

    assert till.calls == 2


async def test_a_large_answer_is_given_once_and_never_done_twice(shop: Shop, till: Till) -> None:
    till.size = MAX_STORED_BYTES
    first, again = await shop.order(), await shop.order()

    assert len(first.json()["note"]) == MAX_STORED_BYTES
    assert (again.status_code, again.headers.get("retry-after")) == (409, None)
    assert again.json()["detail"] == "This was done before; its answer was not kept"
    assert till.calls == 1


async def test_a_streamed_answer_is_given_once(shop: Shop) -> None:
    first, again = [await shop.order(path="/stream") for _ in range(2)]

    assert (first.content, again.status_code) == (b"ab", 409)


async def test_neither_key_nor_content_is_in_the_table(shop: Shop) -> None:
    await shop.order("a secret wish", key="my-own-key")

    (row,) = await shop.pool.fetch("SELECT * FROM idempotency")
    assert row["tenant"] == "demo"
    assert "secret" not in str(row)
    assert "my-own-key" not in str(row)


@pytest.mark.parametrize("key", ["", "x" * 129], ids=["empty", "too long"])
async def test_a_key_of_another_length_is_refused(shop: Shop, till: Till, key: str) -> None:
    assert (await shop.order(key=key)).status_code == 422
    assert till.calls == 0


async def away(*_: object, **__: object) -> None:
    """A call of the database while it is away."""
    raise Unavailable


async def test_without_the_database_nothing_is_done(
    shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IdempotencyStore, "claim", away)
    answer = await shop.order()

    assert answer.status_code == 503
    assert till.calls == 0


@pytest.mark.parametrize("failure", [Unavailable(), asyncpg.QueryCanceledError("too slow")])
async def test_an_answer_that_could_not_be_stored_is_given_and_later_repeated(
    shop: Shop, till: Till, failure: Exception
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IdempotencyStore, "finish", AsyncMock(side_effect=failure))
        first = await shop.order()
    await shop.pool.execute(EXPIRE_CLAIMS)
    again = await shop.order()

    assert first.content == again.content
    assert (till.calls, len(till.orders)) == (2, 1)
