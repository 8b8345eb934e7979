"""Products shown otherwise than desired, by PLU (SCL-15); and the delivery of prices, which only a
read verifies (SCL-16)."""

from collections.abc import Sequence
from dataclasses import replace
from operator import methodcaller as step
from typing import Any
from uuid import UUID

import pytest

from libs.postgres.pool import Pool
from services.scale_bridge.catalogue.domain.displayed_fields import displayed_fields
from services.scale_bridge.catalogue.domain.shop_price import Price
from services.scale_bridge.monitoring.read_models import drift
from services.scale_bridge.monitoring.read_models.drift import ArticleLocation, Difference
from services.scale_bridge.prices.domain import PriceState, State, price_state
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.prices.read_models.price_delivery import DeliveryRow
from tests.services.scale_bridge.histories import (
    NOON,
    OWNER,
    History,
    catalogue,
    device_id,
    minute,
    price_id,
    product,
    store_content,
)

BASE = catalogue(product(1, price=100, sellByDate=""), product(2), product(3))


async def differences(pool: Pool, history: History) -> dict[str, Difference]:
    """The differences by PLU, after the new events are applied."""
    await history.project(pool)
    async with pool.acquire() as connection:
        found = await drift.differences(connection, "demo", device_id(), limit=100)
        counts = await drift.counts(connection, "demo", [device_id()])
    assert counts.get(device_id(), 0) == len(found)
    return {one.plu: one for one in found}


@pytest.fixture
async def synced(pool: Pool) -> History:
    """A scale that was read and shows its catalogue."""
    history = History()
    await history.synced(pool, BASE)
    assert await differences(pool, history) == {}
    return history


async def test_an_edit_is_drift_until_a_read_shows_it(pool: Pool, synced: History) -> None:
    """SCL-15: also edits of dates, and of a field that is removed."""
    synced.edited(2, 1, price=120.5, unknownField=[1])
    synced.edited(3, 2, name="Роза", shelfLifeType="DAYS")
    synced.dated(4, 3)

    found = await differences(pool, synced)

    assert {plu: one.revision for plu, one in found.items()} == {"1": 2, "2": 3, "3": 4}
    assert found["1"].desired == {**displayed_fields(product(1)), "price": 120.5}
    assert found["1"].displayed == displayed_fields(product(1))
    synced.read(5, {plu: dict(one.desired or {}) for plu, one in found.items()}, by=2)
    assert await differences(pool, synced) == {}


STRANGE = {"name": "чужой", "price": 1}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [step("read", 5, {"9": STRANGE}, "3", by=2)],
            {"9": (None, STRANGE), "3": (displayed_fields(product(3)), None)},
        ),
        (
            [step("edited", 2, 1, pluNumber=77), step("edited", 3, 77, price=1.5)],
            {
                "1": (None, displayed_fields(product(1))),
                "77": ({**displayed_fields(product(1)), "price": 1.5}, None),
            },
        ),
        # A number counts by value, a cleared date as none.
        ([step("read", 1, {"1": {**displayed_fields(product(1)), "price": 100.0}}, by=2)], {}),
        ([step("edited", 2, 1, sellByDate="01-03-26"), step("edited", 3, 1, sellByDate="")], {}),
        # At another address nothing is desired or shown (R9).
        ([step("edited", 2, 1, price=1.0), step("invalidated", 3, at=9)], {}),
    ],
    ids=["only one has it", "another PLU", "by value", "a cleared date", "another address"],
)
async def test_differences_of_a_scale(
    pool: Pool, synced: History, steps: list[Any], expected: dict[str, Any]
) -> None:
    found = await differences(pool, synced.happened(*steps))

    assert {plu: (one.desired, one.displayed) for plu, one in found.items()} == expected
    assert "9" not in found or found["9"].revision is None


async def test_a_fetched_or_reverted_catalogue_replaces_the_previous_one(
    pool: Pool, synced: History
) -> None:
    synced.edited(2, 1, price=1.0)
    synced.fetched(3, await store_content(pool, catalogue(product(1), product(4))))
    assert (await differences(pool, synced)).keys() == {"2", "3", "4"}

    synced.reverted(4, await store_content(pool, BASE))
    assert await differences(pool, synced) == {}


async def test_a_catalogue_whose_content_was_deleted_does_not_stop_a_rebuild(pool: Pool) -> None:
    """Its events were followed by another catalogue."""
    history = History()
    history.fetched(1, "gone")
    history.edited(2, 1, price=2.0)
    assert await differences(pool, history) == {}

    history.fetched(3, await store_content(pool, BASE))
    assert len(await differences(pool, history)) == 3


async def test_the_locations_of_an_article_are_listed(pool: Pool) -> None:
    twice: dict[str, Any] = catalogue(product(1), product(2, code="5001"))
    for tenant, number, document in (("demo", 1, twice), ("demo", 2, BASE), ("other", 3, BASE)):
        history = History(tenant)
        history.fetched(1, await store_content(pool, document, tenant), of=number)
        await history.project(pool)

    async with pool.acquire() as connection:
        found = await drift.locations_of(connection, "demo", 5001)

    first = device_id(1)
    assert found == [
        ArticleLocation(first, "1"),
        ArticleLocation(first, "2"),
        ArticleLocation(device_id(2), "1"),
    ]


PRICE = Price(price_id=price_id(1), article=5001, price=7.0, valid_at=NOON, announced_at=NOON)
OTHER_PRICE = replace(PRICE, price_id=price_id(2))

QUEUED, SENDING = step("queued", 2, at=11), step("begun", 2, at=12, revision=2)
APPLIED, READ = step("applied", 2, at=13, revision=2), step("read", 14, {"1": {"price": 7.0}}, by=2)
ENDED = step("ended", 2, at=15, revision=2)


async def a_history(pool: Pool, *steps: Any, changed: bool = True) -> History:
    """A scale that was fetched and took the price, as revision 2 if it `changed`; then `steps`."""
    history = History()
    history.registered()
    history.fetched(1, await store_content(pool, catalogue(product(1), product(2))))
    history.read(1, {"1": {"price": 100.0}, "2": {"price": 100.0}})
    if changed:
        history.edited(2, 1, source="price", price=7.0)
    history.price_taken(2 if changed else 1, 1, 7.0, at=10, changed=changed)
    return history.happened(*steps)


async def rows(pool: Pool, price: Price = PRICE) -> Sequence[DeliveryRow]:
    async with pool.acquire() as connection:
        return await price_delivery.rows(connection, "demo", OWNER, price)


async def outcome(
    pool: Pool, history: History, price: Price = PRICE
) -> tuple[DeliveryRow, PriceState]:
    """The row of the only scale and its state, after the new events are applied."""
    await history.project(pool)
    [row] = await rows(pool, price)
    return row, price_state(row.facts)


async def test_a_price_is_taken_then_sending_then_applied_then_verified(pool: Pool) -> None:
    history = await a_history(pool)
    row, said = await outcome(pool, history)
    states = [said.state]
    for happens in (QUEUED, SENDING, APPLIED, READ, ENDED):
        happens(history)
        row, said = await outcome(pool, history)
        states.append(said.state)

    assert states == [
        *(State.TAKEN, State.TAKEN, State.SENDING, State.APPLIED, State.VERIFIED, State.VERIFIED)
    ]
    assert row.facts.verified_at == minute(14)
    assert (row.sending_at, row.applied_at) == (minute(12), minute(13))


LIAR = {"outcome": "failed", "code": "NotShown", "detail": "Весы…", "at": 15, "revision": 2}
TIMEOUT = {"outcome": "failed", "code": "Timeout", "at": 12, "revision": 2}
OPEN = {"outcome": "failed", "code": "CircuitOpen", "at": 13, "revision": 2}

CASES: dict[str, tuple[list[Any], State, dict[str, Any]]] = {
    "the scale confirmed it": (
        [QUEUED, SENDING, APPLIED, step("ended", 2, outcome="done", at=15, revision=2)],
        *(State.APPLIED, {}),
    ),
    "an upload of an earlier revision": (
        [step("queued", 2, at=9), step("begun", 2, at=9), step("ended", 2, at=15)],
        *(State.TAKEN, {}),
    ),
    "a liar": (
        [QUEUED, SENDING, step("ended", 2, **LIAR)],
        *(State.FAILED, {"name": "Сыр", "code": "NotShown", "detail": "Весы…"}),
    ),
    "not tried, which hides no reason": (
        [QUEUED, step("ended", 2, **TIMEOUT), step("queued", 3, at=13), step("ended", 3, **OPEN)],
        *(State.FAILED, {"code": "Timeout"}),
    ),
    "shown no more": (
        [READ, step("read", 20, {"1": {"price": 1.0}}, by=3)],
        *(State.FAILED, {"code": "NotShown", "displayed_price": "1.0"}),
    ),
    "another PLU, which keeps its price": (
        [step("price_taken", 2, 77, 5.0, number=3), step("edited", 3, 1, pluNumber=77)],
        *(State.TAKEN, {"plu": "77"}),
    ),
    "overridden by a person": (
        [step("price_overridden", 3, 1, at=20)],
        *(State.OVERRIDDEN, {"overridden_by": "anna"}),
    ),
    "at another address": ([READ, step("invalidated", 3, at=20)], State.WAITING, {}),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_state_of_a_price_that_was_taken(pool: Pool, case: str) -> None:
    steps, state, known = CASES[case]

    row, said = await outcome(pool, await a_history(pool, *steps))

    assert said.state is state
    for name, value in known.items():
        assert getattr(row if hasattr(row, name) else said, name) == value


@pytest.mark.parametrize("written_since", [False, True])
async def test_a_price_that_changed_nothing_is_verified_by_the_read_before(
    pool: Pool, written_since: bool
) -> None:
    history = await a_history(pool, step("read", 5, {"1": {"price": 7.0}}, by=3), changed=False)
    if written_since:
        history.queued(4, at=6)
        history.applied(4, at=7)

    row, said = await outcome(pool, history)

    assert (said.state is State.VERIFIED) is not written_since
    assert (row.facts.verified_at == row.facts.taken_at) is not written_since


async def test_a_later_price_is_not_overridden(pool: Pool) -> None:
    history = await a_history(pool, step("price_overridden", 3, 1, at=20))
    history.price_taken(4, 1, 8.0, number=2, at=30)

    row, _ = await outcome(pool, history)
    other, _ = await outcome(pool, history, OTHER_PRICE)

    assert (row.overridden_by, other.facts.overridden_at) == ("anna", None)


async def test_a_read_at_an_earlier_address_verifies_no_price(pool: Pool) -> None:
    history = await a_history(pool, READ, step("invalidated", 3, at=20))
    history.fetched(4, await store_content(pool, catalogue(product(1, 7.0))))
    history.price_taken(4, 1, 7.0, at=30, changed=False)

    assert (await outcome(pool, history))[1].state is State.TAKEN


async def test_the_price_of_an_article_no_longer_sold_is_gone(pool: Pool) -> None:
    history = await a_history(pool)
    history.fetched(3, await store_content(pool, catalogue(product(2))))

    assert (await outcome(pool, history))[1].state is State.GONE


async def test_missed_prices_are_recent_and_valid(pool: Pool) -> None:
    history = await a_history(pool)
    history.registered(2)
    history.fetched(1, await store_content(pool, catalogue(product(1), product(2))), of=2)
    await history.project(pool)
    insert = """INSERT INTO price VALUES ('demo', $1, $2, 7, $3, 'gateway', $3, '', $4)"""
    for number, article, at in ((1, 5001, 0), (2, 5002, -90), (3, 5002, 90), (4, 5003, 0)):
        await pool.execute(insert, price_id(number), article, minute(at), minute(at))

    async with pool.acquire() as connection:
        found = await price_delivery.missed(connection, minute(-60), minute(30), limit=9)

    assert [(one.device_id, one.plu, one.article) for one in found] == [(UUID(int=2), "1", 5001)]
