"""What workers look for by themselves: scales to heal, and verifications to announce.

Scales that come back, or were changed, are brought to what they shall show (SCL-9, SCL-15); each
reminder is announced once by all workers, and no more often than is worth it (SCL-14)."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from httpx import AsyncClient

from contracts.scale_bridge import OperationQueued, VerificationDue
from libs.clock import utc_now
from libs.process.service import job_tasks
from libs.testing.polling import eventually
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.devices.handlers.verification import announce_due
from services.scale_bridge.schedules.domain.recovery import RecoveryRules
from services.scale_bridge.schedules.handlers import recovery
from tests.services.scale_bridge.service import (
    BORIS,
    Service,
    a_device,
    open_device,
    open_service,
    register,
)


async def by_healing(service: Service) -> list[OperationQueued]:
    return [one for one in await service.events(OperationQueued) if one.asked_by == "heal"]


async def heal(service: Service, rules: RecoveryRules = RecoveryRules(), **later: float) -> int:  # noqa: B008
    """Look once, so much later; how many operations were ordered."""
    await service.caught_up()
    queued, _ = await recovery.recover(service.deps, rules, utc_now() + timedelta(**later))
    return queued


async def test_a_scale_that_was_idle_for_long_is_verified(database: str) -> None:
    """So that drift is found by itself."""
    async with open_device(database, 2, heals=True, idle_minutes=0.002) as device:
        right = device.scale.base.products[0]["price"]
        device.scale.base.products[0]["price"] = 1.0

        await device.shows(right, plu=1)
        assert "verify" in {one.kind for one in await by_healing(device.service)}


async def test_recovery_waits_while_the_breaker_is_open(database: str) -> None:
    """R6."""
    async with open_device(database, 2) as device:
        await device.set_price(1, 3.5)
        await device.scale.power_cut()
        for _ in range(3):
            await device.post("/upload")
        assert await heal(device.service, hours=1) == 0
        await device.service.execute("DELETE FROM breaker")
        assert await heal(device.service, hours=1) == 1
        (ordered,) = await by_healing(device.service)
        assert ordered.kind == "probe"


async def test_several_workers_queue_one_operation(database: str) -> None:
    async with open_device(database, 2) as device:
        await device.set_price(1, 3.5)
        await device.scale.power_cut()
        await device.post("/upload")
        await device.service.caught_up()
        context, later = device.service.deps, utc_now() + timedelta(hours=1)
        await asyncio.gather(*(recovery.recover(context, RecoveryRules(), later) for _ in range(5)))
        assert len(await by_healing(device.service)) == 1


async def test_recovery_after_a_power_failure_is_spread(database: str) -> None:
    """Not more than a few at once; and a scale that was never read is left alone."""
    async with open_device(database, 1, read=False) as device:
        assert await heal(device.service, days=1) == 0
        for _ in range(10):
            await a_device(device.service, device.owner, device.scale)
        assert await heal(device.service, days=1) == recovery.AT_ONCE


@pytest.mark.parametrize("healing_on", [True, False])
async def test_recovery_can_be_switched_off(database: str, healing_on: bool) -> None:
    async with open_service(database, healing=healing_on) as service:
        assert len(job_tasks(SERVICE, service.deps)) == 4 + healing_on


DUE = date(2031, 5, 31)


def before(days: float) -> datetime:
    """Noon in Moscow, so many days before."""
    return datetime(2031, 5, 31, 9, tzinfo=UTC) - timedelta(days=days)


async def due_on(client: AsyncClient, number: int, day: date | None = DUE) -> None:
    """Set the day of the next verification."""
    body = {"next_verification": day.isoformat() if day else None}
    answer = await client.put(f"/devices/{number}/profile", json=body)
    assert answer.status_code == 200, answer.text


async def announced(service: Service) -> list[tuple[date, int]]:
    await service.caught_up()
    return [(one.due_on, one.days) for one in await service.events(VerificationDue)]


async def test_each_reminder_is_announced_once_by_two_workers(database: str) -> None:
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS, tenant="other") as boris,
        SERVICE.open_context(service.settings) as other,
    ):
        for client in (anna, boris):
            await due_on(client, await register(client))
        await due_on(anna, await register(anna), DUE + timedelta(days=100))
        workers = (service.deps, other)
        for left in (31, 30, 29.5, 8, 7, 7, 1, 0, 0, -3):
            # They look at the same time, and again before read models have what was announced.
            for _ in range(2):
                await asyncio.gather(
                    *(announce_due(context, before(left)) for context in workers * 3)
                )
            await service.caught_up()

        assert sorted(await announced(service)) == sorted([(DUE, 30), (DUE, 7), (DUE, 0)] * 2)
        assert await announce_due(service.deps, before(-3)) == 0


async def test_a_day_begins_where_the_shop_is(database: str) -> None:
    """Ten in the evening in London is the next day in Moscow."""
    async with open_service(database) as service, service.client() as anna:
        await due_on(anna, await register(anna))
        for hour, minute, expected in ((20, 59, []), (21, 0, [(DUE, 30)])):
            now = datetime(2031, 4, 30, hour, minute, tzinfo=UTC)
            await announce_due(service.deps, now)
            assert await announced(service) == expected


async def test_a_worker_announces_reminders_and_the_board_counts_days(database: str) -> None:
    async with open_service(database, healing=False) as service, service.client() as anna:
        number = await register(anna)
        today = utc_now().astimezone(service.settings.zone).date()
        await due_on(anna, number, today + timedelta(days=20))
        stop = asyncio.Event()
        tasks = job_tasks(SERVICE, service.deps)
        working = asyncio.gather(*(task(stop) for task in tasks))
        try:
            await eventually(lambda: announced(service))
        finally:
            stop.set()
            await working
        [one] = (await anna.get("/devices/board")).json()["devices"]
        left = (date.fromisoformat(one["next_verification"]) - today).days
        assert (one["verification_days"], left) == (20, 20)
