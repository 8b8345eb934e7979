"""Scales that come back, or were changed, are brought to what they shall show (SCL-9, SCL-15)."""

import asyncio
from datetime import timedelta

import pytest

from contracts.scale_bridge import OperationQueued
from libs.clock import utc_now
from libs.testing.waiting import eventually
from services.scale_bridge.bootstrap import looking_tasks
from services.scale_bridge.domain.healing import Rules
from services.scale_bridge.handlers import healing
from tests.services.scale_bridge.service import (
    Service,
    a_device,
    open_device,
    open_service,
)


async def by_healing(service: Service) -> list[OperationQueued]:
    return [one for one in await service.events(OperationQueued) if one.asked_by == "heal"]


async def heal(service: Service, rules: Rules = Rules(), **later: float) -> int:  # noqa: B008
    """Look once, so much later; how many operations were ordered."""
    await service.caught_up()
    return await healing.look_after(service.deps.desk, rules, utc_now() + timedelta(**later))


async def test_a_scale_whose_power_is_back_gets_what_it_missed(database: str) -> None:
    """SCL-9: everything at once, without being asked."""
    async with open_device(database, 4, heals=True) as device:
        await device.scale.power_cut()
        for price in (5.5, 6.5, 7.5):
            await device.set_price(2, price)
        assert (await device.post("/upload")).status_code == 503
        assert await device.is_dirty()

        await device.scale.power_on()

        await device.shows(7.5)
        await eventually(device.is_dirty, False)
        sent = [one for one in await by_healing(device.service) if one.kind == "upload"]
        assert not any(one.full for one in sent)


async def test_what_a_verify_found_changed_is_put_right(database: str) -> None:
    """SCL-15."""
    async with open_device(database, 4, heals=True) as device:
        right = device.scale.base.products[0]["price"]
        device.scale.base.products[0]["price"] = 1.0
        assert (await device.post("/verify")).status_code == 503

        await device.shows(right, plu=1)
        await eventually(device.is_dirty, False)


async def test_a_scale_that_was_idle_for_long_is_read(database: str) -> None:
    """So that drift is found by itself."""
    async with open_device(database, 2, heals=True, idle_minutes=0.002) as device:
        right = device.scale.base.products[0]["price"]
        device.scale.base.products[0]["price"] = 1.0

        await device.shows(right, plu=1)
        assert "verify" in {one.kind for one in await by_healing(device.service)}


async def test_what_is_edited_at_the_desk_is_not_sent_behind_the_back(database: str) -> None:
    async with open_device(database, 2, heals=True) as device:
        await device.set_price(1, 3.5)
        for minutes in range(3):
            assert await heal(device.service, Rules(idle=None), minutes=minutes) == 0
        assert await by_healing(device.service) == []


async def test_no_scale_is_called_while_the_breaker_is_open(database: str) -> None:
    """R6."""
    async with open_device(database, 2, connect_seconds=0.3) as device:
        await device.set_price(1, 3.5)
        await device.scale.power_cut()
        for _ in range(3):
            await device.post("/upload")
        assert await heal(device.service, hours=1) == 0
        await device.service.execute("DELETE FROM breaker")
        assert await heal(device.service, hours=1) == 1
        (ordered,) = await by_healing(device.service)
        assert ordered.kind == "probe"


async def test_many_workers_order_one_operation(database: str) -> None:
    async with open_device(database, 2, connect_seconds=0.3) as device:
        await device.set_price(1, 3.5)
        await device.scale.power_cut()
        await device.post("/upload")
        await device.service.caught_up()
        desk, later = device.service.deps.desk, utc_now() + timedelta(hours=1)
        await asyncio.gather(*(healing.look_after(desk, Rules(), later) for _ in range(5)))
        assert len(await by_healing(device.service)) == 1


async def test_a_shop_whose_power_is_back_is_not_stormed(database: str) -> None:
    """Not more than a few at once; and a scale that was never read is left alone."""
    async with open_device(database, 1, read=False) as device:
        assert await heal(device.service, days=1) == 0
        for _ in range(10):
            await a_device(device.service, device.owner, device.scale)
        assert await heal(device.service, days=1) == healing.AT_ONCE


@pytest.mark.parametrize("healing_on", [True, False])
async def test_healing_can_be_switched_off(database: str, healing_on: bool) -> None:
    async with open_service(database, healing=healing_on) as service:
        assert len(looking_tasks(service.settings, service.deps.desk)) == 4 + healing_on
