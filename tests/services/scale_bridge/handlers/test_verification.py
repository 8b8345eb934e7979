"""Reminders of verifications: announced once by all workers, and no more than is worth it."""

import asyncio
from datetime import UTC, date, datetime, timedelta

from httpx import AsyncClient

from contracts.scale_bridge import VerificationDue
from libs.clock import utc_now
from libs.testing.waiting import eventually
from services.scale_bridge.bootstrap import looking_tasks, open_desk
from services.scale_bridge.handlers.verification import announce_due
from tests.services.scale_bridge.service import BORIS, Service, open_service, register

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
    """(SCL-14)"""
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS, tenant="other") as boris,
        open_desk(service.settings) as other,
    ):
        for client in (anna, boris):
            await due_on(client, await register(client))
        await due_on(anna, await register(anna), DUE + timedelta(days=100))
        workers = (service.deps.desk, other)
        for left in (31, 30, 29.5, 8, 7, 7, 1, 0, 0, -3):
            # They look at the same time, and again before read models have what was announced.
            for _ in range(2):
                await asyncio.gather(*(announce_due(desk, before(left)) for desk in workers * 3))
            await service.caught_up()

        assert sorted(await announced(service)) == sorted([(DUE, 30), (DUE, 7), (DUE, 0)] * 2)
        assert await announce_due(service.deps.desk, before(-3)) == 0


async def test_after_weeks_only_the_nearest_is_announced(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        await due_on(anna, await register(anna))
        await announce_due(service.deps.desk, before(5))
        assert await announced(service) == [(DUE, 7)]
        await announce_due(service.deps.desk, before(-40))
        assert await announced(service) == [(DUE, 7), (DUE, 0)]


async def test_another_day_counts_anew_and_none_or_no_scale_not_at_all(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        number, gone = await register(anna), await register(anna)
        await due_on(anna, number)
        await due_on(anna, gone)
        await anna.delete(f"/devices/{gone}")
        await announce_due(service.deps.desk, before(0))
        next_year = DUE + timedelta(days=365)
        await due_on(anna, number, next_year)
        await announce_due(service.deps.desk, before(-335))
        assert await announced(service) == [(DUE, 0), (next_year, 30)]

        await due_on(anna, number, DUE)
        await announce_due(service.deps.desk, before(0))
        await due_on(anna, number, None)
        await announce_due(service.deps.desk, before(-900))
        assert await announced(service) == [(DUE, 0), (next_year, 30)]


async def test_a_day_begins_where_the_shop_is(database: str) -> None:
    """Ten in the evening in London is the next day in Moscow."""
    async with open_service(database) as service, service.client() as anna:
        await due_on(anna, await register(anna))
        for hour, minute, expected in ((20, 59, []), (21, 0, [(DUE, 30)])):
            now = datetime(2031, 4, 30, hour, minute, tzinfo=UTC)
            await announce_due(service.deps.desk, now)
            assert await announced(service) == expected


async def test_a_worker_looks_by_itself_and_the_board_shows_how_long(database: str) -> None:
    async with open_service(database, healing=False) as service, service.client() as anna:
        number = await register(anna)
        today = utc_now().astimezone(service.settings.zone).date()
        await due_on(anna, number, today + timedelta(days=20))
        stop = asyncio.Event()
        tasks = looking_tasks(service.settings, service.deps.desk)
        working = asyncio.gather(*(task(stop) for task in tasks))
        try:
            await eventually(lambda: announced(service))
        finally:
            stop.set()
            await working
        [one] = (await anna.get("/devices/board")).json()["devices"]
        left = (date.fromisoformat(one["next_verification"]) - today).days
        assert (one["verification_days"], left) == (20, 20)
