"""A price that the model of a scale cannot show is parked, and shown by all that can (SCL-8)."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.envelope import Envelope
from contracts.scale_bridge import ProductEdited
from libs.clock import utc_now
from libs.eventsourcing.log import Cause
from libs.messaging import inbox
from libs.messaging.reaction import intake
from services.scale_bridge.bootstrap import reactor
from services.scale_bridge.domain.product import BeyondModel
from services.scale_bridge.handlers import price
from services.scale_bridge.reactions import shop
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    Inside,
    eventually,
    fetched,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.reactions.test_shop import changed

DEAR = 1_000_000
"""In kopecks; 9999.99 is the most that some models take."""


async def react(made: Inside, change: Any) -> list[Any]:
    await made.fresh.caught_up("drift")
    desk = made.deps.desk
    return list(await price.change_price(desk, change, tenant="demo", currency="RUB"))


async def test_a_price_beyond_one_model_is_shown_by_the_others_and_told(database: str) -> None:
    async with (
        a_scale(3) as small,
        a_scale(3) as large,
        working(database) as made,
        made.client() as anna,
    ):
        numbers = [await registered(anna, scale) for scale in (small, large)]
        for number in numbers:
            await fetched(anna, number)
        await anna.put(f"/devices/{numbers[0]}/profile", json={"model": "M-ER 725"})
        before = small.base.products[1]["price"]

        for _ in range(2):
            with pytest.raises(BeyondModel):
                await react(made, changed(DEAR))

        async def shown() -> bool:
            return bool(large.base.products[1]["price"] == DEAR / 100)

        await eventually(shown)
        assert len(await made.events(ProductEdited)) == 1
        # Neither a read of the scale nor whoever looks for what was missed stumbles over it.
        await fetched(anna, numbers[0])
        await made.fresh.caught_up("all")
        await price.catch_up(made.deps.desk)
        assert small.base.products[1]["price"] == before
        assert (await patch(anna, numbers[0], 2, price=5)).status_code == 200

        assert len(await react(made, changed(999_999))) == 2


async def test_what_cannot_be_shown_is_parked_not_lost(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await anna.put(f"/devices/{number}/profile", json={"model": "M-ER 725"})
        await made.fresh.caught_up("drift")
        change = changed(DEAR)
        now = {"at": utc_now()}
        work = reactor(made.settings, made.deps.desk)
        work._clock = lambda: now["at"]
        pool = made.deps.desk.pool
        async with pool.acquire() as connection, connection.transaction():
            await intake(shop.prices(made.deps.desk, currency="RUB")).project(
                connection, [told(change)]
            )

        for _ in range(10):
            now["at"] += timedelta(minutes=10)
            await work.react()

        async with pool.acquire() as connection:
            assert await inbox.parked(connection, shop.NAME) == 1
        assert await made.events(ProductEdited) == []


def told(change: Any) -> Envelope[Any]:
    cause = Cause(tenant="demo", actor="office")
    return Envelope(
        event_id=uuid4(),
        tenant=cause.tenant,
        stream=f"price-{change.article}",
        version=1,
        occurred_at=change.changed_at,
        recorded_at=change.changed_at,
        correlation_id=None,
        causation_id=None,
        actor=cause.actor,
        traceparent=None,
        event=change,
    )
