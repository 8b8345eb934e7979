"""Requests that carry an `Idempotency-Key`, through a door that takes it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.services.gateway.api.till import ORDERS, Shop, Till, opened, order
from tests.services.gateway.conftest import READER, Keys, Service, until


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


async def test_the_same_again_is_done_once_and_answered_the_same(shop: Shop, till: Till) -> None:
    first = await order(shop)
    again = await order(shop)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() == {"number": 1, "note": ""}
    assert again.headers["location"] == "/orders/1"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert "set-cookie" not in again.headers
    assert till.orders == [b"roses"]


async def test_another_body_or_address_under_the_same_key_is_refused(
    shop: Shop, till: Till
) -> None:
    await order(shop)

    other_body = await order(shop, "tulips")
    other_address = await order(shop, path=f"{ORDERS}?express=1")

    assert [other_body.status_code, other_address.status_code] == [422, 422]
    assert other_body.json() == {"detail": "The Idempotency-Key belongs to another request"}
    assert till.orders == [b"roses"]


async def test_other_keys_callers_and_tenants_do_not_meet(shop: Shop, till: Till) -> None:
    await order(shop)
    await order(shop, "tulips", key="second")
    await order(shop, "lilies", by=READER)

    assert till.orders == [b"roses", b"tulips", b"lilies"]


async def test_without_a_key_or_on_other_routes_every_request_is_done(
    shop: Shop, till: Till
) -> None:
    for _ in range(2):
        await order(shop, key=None)
        await order(shop, path="/plain")

    assert len(till.orders) == 4


async def test_the_same_again_in_the_meantime_is_told_to_wait(shop: Shop, till: Till) -> None:
    till.free.clear()
    first = asyncio.create_task(order(shop))
    await until(lambda: bool(till.orders))

    meanwhile = await order(shop)
    till.free.set()
    done = await first
    after = await order(shop)

    assert meanwhile.status_code == 409
    assert int(meanwhile.headers["retry-after"]) >= 1
    assert done.json() == after.json()
    assert len(till.orders) == 1


async def test_of_many_at_once_one_is_done(shop: Shop, till: Till) -> None:
    answers = await asyncio.gather(*[order(shop) for _ in range(20)])

    assert len(till.orders) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.text for answer in answers if answer.status_code == 201} == {
        '{"number": 1, "note": ""}'
    }


@pytest.mark.parametrize("status", [200, 204, 400, 404, 422])
async def test_what_is_final_is_kept(shop: Shop, till: Till, status: int) -> None:
    till.status = status

    answers = [await order(shop) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [status] * 2
    assert len(till.orders) == 1


@pytest.mark.parametrize("status", [303, 401, 403, 408, 409, 429, 500, 503])
async def test_what_may_be_otherwise_next_time_is_not_kept(
    shop: Shop, till: Till, status: int
) -> None:
    till.status = status
    first = await order(shop)
    till.status = 201
    second = await order(shop)

    assert (first.status_code, second.status_code) == (status, 201)
    assert len(till.orders) == 2


async def test_neither_key_nor_request_stands_in_the_table(shop: Shop, till: Till) -> None:
    await order(shop, "a secret wish", key="my-own-key")

    async with shop[1].acquire() as connection:
        (row,) = await connection.fetch("SELECT * FROM idempotency")
    assert row["tenant"] == "demo"
    assert "secret" not in str(row)
    assert "my-own-key" not in str(row)
