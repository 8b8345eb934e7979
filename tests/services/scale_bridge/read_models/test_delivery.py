"""Where a price is, from the log alone: verified by what was read, and by nothing else (SCL-16).

Longer than most: a history for every word that is said of it.
"""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from contracts.envelope import Envelope
from contracts.scale_bridge import ScaleBridgeEvent
from libs.postgres.pool import Pool
from services.scale_bridge.domain.delivery import State, Told, told
from services.scale_bridge.read_models import delivery, price_delivery
from services.scale_bridge.read_models.delivery import Price, Row
from tests.services.scale_bridge.twin import (
    NOON,
    OWNER,
    catalogue,
    minute,
    price_id,
    product,
    project,
    store_content,
)
from tests.services.scale_bridge.twin import Told as History

PRICE = Price(price_id=price_id(1), article=5001, price=7.0, valid_at=NOON, announced_at=NOON)


async def a_history(pool: Pool, at: float = 10, **price: Any) -> History:
    """A scale that was fetched, and took the price as revision 2."""
    content = await store_content(pool, catalogue(product(1), product(2)))
    tell = History()
    tell.registered()
    tell.fetched(1, content)
    tell.shown(1, {"1": {"price": 100.0}, "2": {"price": 100.0}})
    if price.get("changed", True):
        tell.edited(2, 1, source="price", price=7.0)
    tell.price_taken(price.pop("revision", 2), 1, 7.0, at=at, **price)
    return tell


async def rows(pool: Pool, price: Price = PRICE) -> list[Row]:
    async with pool.acquire() as connection:
        return list(await delivery.rows(connection, "demo", OWNER, price))


async def word(pool: Pool, tell: History, random: Random | None = None) -> tuple[Row, Told]:
    """What is said after this history, whichever stream came first."""
    events = list(tell.events)
    if random is not None:
        streams: dict[Any, list[Envelope[ScaleBridgeEvent]]] = {}
        for one in events:
            streams.setdefault(one.stream, []).append(one)
        order = list(streams.values())
        random.shuffle(order)
        events = [one for stream in order for one in stream]
    await project(pool, events)
    [row] = await rows(pool)
    return row, told(row.facts)


async def test_it_is_taken_then_sending_then_applied_then_verified(pool: Pool) -> None:
    tell = await a_history(pool)
    steps: list[tuple[Any, State]] = [
        (lambda: None, State.TAKEN),
        (lambda: tell.queued(2, at=11), State.TAKEN),
        (lambda: tell.sending(2, at=12, revision=2), State.SENDING),
        (lambda: tell.applied(2, at=13, revision=2), State.APPLIED),
        (lambda: tell.shown(14, {"1": {"price": 7.0}}, by=2), State.VERIFIED),
        (lambda: tell.ended(2, at=15, revision=2), State.VERIFIED),
    ]
    heard = 0
    for step, state in steps:
        step()
        await project(pool, tell.events[heard:])
        heard = len(tell.events)
        [row] = await rows(pool)
        assert told(row.facts).state is state
    [row] = await rows(pool)
    assert row.facts.verified_at == minute(14)
    assert (row.sending_at, row.applied_at) == (minute(12), minute(13))


@pytest.mark.parametrize("seed", range(6))
async def test_streams_may_come_in_any_order(pool: Pool, seed: int) -> None:
    tell = await a_history(pool)
    tell.queued(2, at=11)
    tell.sending(2, at=12, revision=2)
    tell.applied(2, at=13, revision=2)
    tell.shown(14, {"1": {"price": 7.0}}, by=2)
    tell.ended(2, at=15, revision=2)

    row, said = await word(pool, tell, Random(seed))

    assert said.state is State.VERIFIED
    assert row.facts.verified_at == minute(14)


async def test_that_a_scale_confirmed_it_verifies_nothing(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.queued(2, at=11)
    tell.sending(2, at=12, revision=2)
    tell.applied(2, at=13, revision=2)
    tell.ended(2, outcome="done", at=15, revision=2)

    _, said = await word(pool, tell)

    assert said.state is State.APPLIED


async def test_an_upload_of_an_earlier_revision_delivers_nothing(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.queued(2, at=9)
    tell.sending(2, at=9, revision=1)
    tell.ended(2, outcome="verified", at=15, revision=1)

    _, said = await word(pool, tell)

    assert said.state is State.TAKEN


async def test_a_liar_is_failed_by_name(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.queued(2, at=11)
    tell.sending(2, at=12, revision=2)
    tell.ended(2, outcome="failed", code="NotShown", detail="Весы…", at=15, revision=2)

    row, said = await word(pool, tell)

    assert (row.name, said.state, said.code, said.detail) == (
        "Сыр", State.FAILED, "NotShown", "Весы…",
    )  # fmt: skip


async def test_what_was_not_tried_hides_no_reason(pool: Pool) -> None:
    """After a wrong password the breaker is no news."""
    tell = await a_history(pool)
    for number, code in ((2, "Timeout"), (3, "CircuitOpen")):
        tell.queued(number, at=10 + number)
        tell.ended(number, outcome="failed", code=code, at=10 + number, revision=2)

    _, said = await word(pool, tell)

    assert said.code == "Timeout"


async def test_it_is_verified_by_the_read_before_if_nothing_changed(pool: Pool) -> None:
    tell = await a_history(pool, changed=False, revision=1)
    tell.shown(5, {"1": {"price": 7.0}}, by=3)

    row, said = await word(pool, tell)

    assert said.state is State.VERIFIED
    assert row.facts.verified_at == row.facts.taken_at


async def test_but_not_if_something_was_written_since(pool: Pool) -> None:
    tell = await a_history(pool, changed=False, revision=1)
    tell.shown(5, {"1": {"price": 7.0}}, by=3)
    tell.queued(4, at=6)
    tell.applied(4, at=7)

    _, said = await word(pool, tell)

    assert said.state is not State.VERIFIED


async def test_what_a_scale_shows_no_more_is_not_verified(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.shown(14, {"1": {"price": 7.0}}, by=2)
    tell.shown(20, {"1": {"price": 1.0}}, by=3)

    row, said = await word(pool, tell)

    assert (said.state, said.code) == (State.FAILED, "NotShown")
    assert row.shown_price == "1.0"


async def test_a_person_or_a_later_price_overrules_it(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.price_overridden(3, 1, at=20)
    row, said = await word(pool, tell)
    assert (said.state, row.overridden_by) == (State.OVERRIDDEN, "anna")

    more = len(tell.events)
    tell.price_taken(4, 1, 8.0, number=2, at=30)
    await project(pool, tell.events[more:])
    [row] = await rows(pool)
    assert row.overridden_by == "anna"
    [other] = await rows(pool, Price(**{**_fields(PRICE), "price_id": price_id(2)}))
    assert other.facts.overridden_at is None


def _fields(price: Price) -> dict[str, Any]:
    return {name: getattr(price, name) for name in price.__slots__}


async def test_at_another_address_it_waits_again(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.shown(14, {"1": {"price": 7.0}}, by=2)
    tell.invalidated(3, at=20)
    _, said = await word(pool, tell)
    assert said.state is State.WAITING

    more = len(tell.events)
    content = await store_content(pool, catalogue(product(1, 7.0)))
    tell.fetched(4, content)
    tell.price_taken(4, 1, 7.0, at=30, changed=False)
    await project(pool, tell.events[more:])
    [row] = await rows(pool)
    assert told(row.facts).state is State.TAKEN, "what was read at the other address says nothing"


async def test_an_article_that_is_sold_no_more_is_gone(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.fetched(3, await store_content(pool, catalogue(product(2))))

    _, said = await word(pool, tell)

    assert said.state is State.GONE


async def test_a_scale_it_has_not_come_to_waits(pool: Pool) -> None:
    tell = History()
    tell.registered()
    tell.fetched(1, await store_content(pool, catalogue(product(1))))

    _, said = await word(pool, tell)

    assert said.state is State.WAITING


async def test_a_product_with_another_plu_keeps_its_price(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.price_taken(2, 77, 5.0, number=3)
    tell.edited(3, 1, pluNumber=77)

    row, said = await word(pool, tell)

    assert (row.plu, said.state) == ("77", State.TAKEN)


async def test_nobody_else_sees_it(pool: Pool) -> None:
    await project(pool, (await a_history(pool)).events)

    async with pool.acquire() as connection:
        assert not await delivery.rows(connection, "demo", UUID(int=5), PRICE)
        assert not await delivery.rows(connection, "other", OWNER, PRICE)
        assert await delivery.price_of(connection, "demo", PRICE.price_id) is not None
        assert await delivery.price_of(connection, "other", PRICE.price_id) is None


async def test_missing_prices_are_those_of_late_that_count(pool: Pool) -> None:
    tell = await a_history(pool)
    tell.registered(2)
    tell.fetched(1, await store_content(pool, catalogue(product(1), product(2))), of=2)
    await project(pool, tell.events)
    insert = """INSERT INTO price VALUES ('demo', $1, $2, 7, $3, 'office', $3, '', $4)"""
    for number, article, at in ((1, 5001, 0), (2, 5002, -90), (3, 5002, 90), (4, 5003, 0)):
        await pool.execute(insert, price_id(number), article, minute(at), minute(at))

    async with pool.acquire() as connection:
        found = await price_delivery.missed(connection, minute(-60), minute(30), limit=9)

    assert [(one.device_id, one.plu, one.article) for one in found] == [(UUID(int=2), "1", 5001)]
