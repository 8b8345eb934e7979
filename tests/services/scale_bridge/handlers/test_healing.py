"""Scales that come back, or were changed, are brought to what they shall show (SCL-9, SCL-15)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from contracts.scale_bridge import OperationQueued
from libs.clock import utc_now
from services.scale_bridge.bootstrap import looking_tasks
from services.scale_bridge.domain.healing import Rules
from services.scale_bridge.handlers import healing
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    Inside,
    eventually,
    fetched,
    inside,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.looked_after import looked_after


async def is_dirty(client: Any, number: int) -> bool:
    """As the log has it; lists may be a moment behind."""
    return bool((await client.get(f"/devices/{number}")).json()["cached_dirty"])


async def by_healing(made: Inside) -> list[OperationQueued]:
    return [one for one in await made.events(OperationQueued) if one.asked_by == "heal"]


async def test_a_scale_whose_power_is_back_gets_what_it_missed(database: str) -> None:
    """SCL-9: everything at once, and nobody has to ask."""
    async with a_scale(4) as scale, looked_after(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await scale.power_cut()
        for price in (5.5, 6.5, 7.5):
            await patch(anna, number, 2, price=price)
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 503
        assert await is_dirty(anna, number)

        await scale.power_on()

        async def converged() -> bool:
            return scale.base.products[1]["price"] == 7.5 and not await is_dirty(anna, number)

        await eventually(converged, 60)
        sent = [one for one in await by_healing(made) if one.kind == "upload"]
        assert not any(one.full for one in sent)


async def test_what_a_verify_found_changed_is_put_right(database: str) -> None:
    """SCL-15."""
    async with a_scale(4) as scale, looked_after(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        right = scale.base.products[0]["price"]
        scale.base.products[0]["price"] = 1.0
        assert (await anna.post(f"/devices/{number}/verify")).status_code == 503

        async def converged() -> bool:
            return scale.base.products[0]["price"] == right and not await is_dirty(anna, number)

        await eventually(converged, 60)


async def test_a_scale_nothing_was_heard_of_is_read(database: str) -> None:
    """So that drift is found without anybody asking."""
    idle = {"idle_minutes": 0.002}
    async with a_scale(2) as scale, looked_after(database, **idle) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        right = scale.base.products[0]["price"]
        scale.base.products[0]["price"] = 1.0

        async def converged() -> bool:
            return bool(scale.base.products[0]["price"] == right)

        await eventually(converged, 60)
        assert "verify" in {one.kind for one in await by_healing(made)}


async def test_what_is_edited_at_the_desk_is_not_sent_behind_the_back(database: str) -> None:
    async with a_scale(2) as scale, looked_after(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await patch(anna, number, 1, price=3.5)
        desk = made.deps.desk
        for seconds in range(3):
            await made.fresh.caught_up("all")
            later = utc_now() + timedelta(seconds=60 * seconds)
            assert await healing.look_after(desk, Rules(idle=None), later) == 0
        assert await by_healing(made) == []


async def test_nobody_is_asked_while_the_breaker_is_open(database: str) -> None:
    """R6."""
    async with a_scale(2) as scale, working(database, connect_seconds=0.3) as made:
        async with made.client() as anna:
            number = await registered(anna, scale)
            await fetched(anna, number)
            await patch(anna, number, 1, price=3.5)
            await scale.power_cut()
            for _ in range(3):
                await anna.post(f"/devices/{number}/upload")
            await made.fresh.caught_up("all")
            later = utc_now() + timedelta(hours=1)
            assert await healing.look_after(made.deps.desk, Rules(), later) == 0
            await made.deps.desk.pool.execute("DELETE FROM breaker")
            assert await healing.look_after(made.deps.desk, Rules(), later) == 1
        (asked,) = await by_healing(made)
        assert asked.kind == "probe"


async def test_many_lookers_order_one_operation(database: str) -> None:
    async with a_scale(2) as scale, working(database, connect_seconds=0.3) as made:
        async with made.client() as anna:
            number = await registered(anna, scale)
            await fetched(anna, number)
            await patch(anna, number, 1, price=3.5)
            await scale.power_cut()
            await anna.post(f"/devices/{number}/upload")
        await made.fresh.caught_up("all")
        later = utc_now() + timedelta(hours=1)
        looks = [healing.look_after(made.deps.desk, Rules(), later) for _ in range(5)]
        await asyncio.gather(*looks)
        assert len(await by_healing(made)) == 1


async def test_a_shop_whose_power_is_back_is_not_stormed(database: str) -> None:
    """Not more than a few at a look."""
    async with a_scale(1) as scale, working(database) as made, made.client() as anna:
        for number in range(10):
            await fetched(anna, await registered(anna, scale, name=f"Весы {number}"))
        await made.fresh.caught_up("all")
        later = utc_now() + timedelta(days=1)
        assert await healing.look_after(made.deps.desk, Rules(), later) == healing.AT_ONCE


async def test_a_scale_nobody_ever_read_is_left_alone(database: str) -> None:
    async with a_scale(1) as scale, inside(database) as made, made.client() as anna:
        await registered(anna, scale)
        await made.fresh.caught_up("all")
        later = utc_now() + timedelta(days=1)
        assert await healing.look_after(made.deps.desk, Rules(), later) == 0


@pytest.mark.parametrize("healing_on", [True, False])
async def test_healing_can_be_switched_off(database: str, healing_on: bool) -> None:
    async with inside(database, healing=healing_on) as made:
        assert len(looking_tasks(made.settings, made.deps.desk)) == 4 + healing_on
