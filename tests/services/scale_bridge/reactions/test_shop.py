"""A price that the shop announces is shown by every scale that sells the article (SCL-16)."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from contracts.scale_bridge import OperationQueued, ProductEdited
from contracts.shop import EVENTS, PriceChanged, PriceId
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from services.scale_bridge.domain.price import major
from services.scale_bridge.handlers import price
from services.scale_bridge.reactions import shop
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    Inside,
    eventually,
    fetched,
    inside,
    patch,
    registered,
    working,
)

CODEC: Codec[Any] = Codec(EVENTS)
ARTICLE = 51
"""The code of the scale's second product."""


def changed(amount: int = 12_345, **different: Any) -> PriceChanged:
    now = utc_now()
    told: dict[str, Any] = {
        "price_id": PriceId(uuid4()),
        "article": ARTICLE,
        "amount": amount,
        "currency": "RUB",
        "valid_at": now,
        "changed_by": "office",
        "changed_at": now,
    }
    return PriceChanged(**told | different)


async def react(made: Inside, change: PriceChanged) -> int:
    await made.fresh.caught_up("drift")
    desk = made.deps.desk
    return len(await price.change_price(desk, change, tenant="demo", currency="RUB"))


async def cached(client: AsyncClient, number: int) -> dict[str, Any]:
    answer = await client.get(f"/devices/{number}/products/cached")
    second: dict[str, Any] = answer.json()["products"]["products"][1]
    return second


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [(21_950, "RUB", 219.5), (1, "EUR", 0.01), (0, "RUB", 0.0), (120, "JPY", 120.0)],
)
def test_minor_units_become_major_ones(amount: int, currency: str, written: float) -> None:
    assert major(amount, currency) == written


async def test_a_price_is_edited_everywhere_the_article_is_and_sent(database: str) -> None:
    """Also on the scales of others of the tenant, and nowhere else."""
    async with (
        a_scale(3) as one,
        a_scale(3) as two,
        a_scale(1) as without,
        a_scale(3) as elsewhere,
        working(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
        made.client(tenant="other") as stranger,
    ):
        for client, scale in ((anna, one), (boris, two), (anna, without), (stranger, elsewhere)):
            await fetched(client, await registered(client, scale))
        before = elsewhere.base.products[1]["price"]

        assert await react(made, changed()) == 2

        async def shown() -> bool:
            return {one.base.products[1]["price"], two.base.products[1]["price"]} == {123.45}

        await eventually(shown)
        assert elsewhere.base.products[1]["price"] == before
        edits = await made.events(ProductEdited)
        assert {(edit.source, edit.edited_by, edit.plu) for edit in edits} == {
            ("price", "office", "2")
        }
        uploads = [one for one in await made.events(OperationQueued) if one.kind == "upload"]
        assert {(one.asked_by, one.full) for one in uploads} == {("price", False)}


async def test_a_price_told_twice_does_not_undo_what_came_between(database: str) -> None:
    """Exactly once, by a command id of price and scale."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        change = changed()
        await react(made, change)
        await patch(anna, number, 2, price=9.5)
        await react(made, change)

        assert (await cached(anna, number))["price"] == 9.5
        assert len(await made.events(ProductEdited)) == 2


async def test_many_prices_are_sent_together(database: str) -> None:
    """A new price list is not an upload per line."""
    async with a_scale(40) as scale, working(database) as made, made.client() as anna:
        await fetched(anna, await registered(anna, scale))
        await made.fresh.caught_up("drift")
        desk = made.deps.desk
        changes = [changed(1000 + n, article=50 + n) for n in range(40)]
        await asyncio.gather(
            *(price.change_price(desk, one, tenant="demo", currency="RUB") for one in changes)
        )

        async def shown() -> bool:
            told = [item["price"] for item in scale.base.products]
            return told == [(1000 + n) / 100 for n in range(40)]

        await eventually(shown)
        uploads = [one for one in await made.events(OperationQueued) if one.kind == "upload"]
        assert len(uploads) <= 5


async def test_a_price_in_another_currency_changes_nothing(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        await fetched(anna, await registered(anna, scale))
        assert await react(made, changed(currency="USD")) == 0
        assert await made.events(ProductEdited) == []


async def test_a_price_waits_until_it_is_valid_and_gives_way_to_a_later_one(database: str) -> None:
    async with inside(database) as made:
        reaction = shop.prices(made.deps.desk, currency="RUB")
    valid_at = datetime(2030, 1, 1, tzinfo=UTC)
    turn = reaction.turn_of(changed(valid_at=valid_at))
    assert turn is not None
    assert (turn.due_at, turn.subject) == (valid_at, f"article {ARTICLE}")
    assert reaction.latest_wins
