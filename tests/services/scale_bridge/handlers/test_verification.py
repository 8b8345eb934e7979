"""Reminders of verifications: announced once, whoever looks, and no more than is worth it."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

from contracts.scale_bridge import VerificationDue
from libs.clock import utc_now
from services.scale_bridge.bootstrap import looking_tasks, open_desk
from services.scale_bridge.handlers.verification import announce_due
from tests.services.scale_bridge.inside import BORIS, Inside, eventually, inside
from tests.services.scale_bridge.scheduled import a_device

DUE = date(2031, 5, 31)


def before(days: float) -> datetime:
    """Noon in Moscow, so many days before."""
    return datetime(2031, 5, 31, 9, tzinfo=UTC) - timedelta(days=days)


async def verify(client: Any, number: int, day: date | None = DUE) -> None:
    body = {"next_verification": day.isoformat() if day else None}
    answer = await client.put(f"/devices/{number}/profile", json=body)
    assert answer.status_code == 200, answer.text


async def told(made: Inside) -> list[tuple[date, int]]:
    await made.fresh.caught_up("device")
    return [(one.due_on, one.days) for one in await made.events(VerificationDue)]


async def test_each_reminder_is_announced_once_by_two_workers(database: str) -> None:
    """(SCL-14)"""
    async with (
        inside(database) as made,
        made.client() as anna,
        made.client(BORIS, tenant="other") as boris,
        open_desk(made.settings) as other,
    ):
        for client in (anna, boris):
            await verify(client, await a_device(client))
        await verify(anna, await a_device(anna, "later"), DUE + timedelta(days=100))
        workers = (made.deps.desk, other)
        for left in (31, 30, 29.5, 8, 7, 7, 1, 0, 0, -3):
            # They look at the same time, and again before anybody has read what was announced.
            for _ in range(2):
                await asyncio.gather(*(announce_due(desk, before(left)) for desk in workers * 3))
            await made.fresh.caught_up("device")

        found = await told(made)
        assert sorted(found) == sorted([(DUE, 30), (DUE, 7), (DUE, 0)] * 2)
        assert await announce_due(made.deps.desk, before(-3)) == 0


async def test_after_weeks_only_the_nearest_is_announced(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        await verify(anna, number)
        await announce_due(made.deps.desk, before(5))
        assert await told(made) == [(DUE, 7)]
        await announce_due(made.deps.desk, before(-40))
        assert await told(made) == [(DUE, 7), (DUE, 0)]


async def test_another_day_counts_anew_and_none_or_no_scale_not_at_all(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number, gone = await a_device(anna), await a_device(anna, "gone")
        await verify(anna, number)
        await verify(anna, gone)
        await anna.delete(f"/devices/{gone}")
        await announce_due(made.deps.desk, before(0))
        next_year = DUE + timedelta(days=365)
        await verify(anna, number, next_year)
        await announce_due(made.deps.desk, before(-335))
        assert await told(made) == [(DUE, 0), (next_year, 30)]

        await verify(anna, number, DUE)
        await announce_due(made.deps.desk, before(0))
        await verify(anna, number, None)
        await announce_due(made.deps.desk, before(-900))
        assert await told(made) == [(DUE, 0), (next_year, 30)]


async def test_a_day_begins_where_the_shop_is(database: str) -> None:
    """Ten in the evening in London is the next day in Moscow."""
    async with inside(database) as made, made.client() as anna:
        await verify(anna, await a_device(anna))
        await announce_due(made.deps.desk, datetime(2031, 4, 30, 20, 59, tzinfo=UTC))
        assert await told(made) == []
        await announce_due(made.deps.desk, datetime(2031, 4, 30, 21, 0, tzinfo=UTC))
        assert await told(made) == [(DUE, 30)]


async def test_a_worker_looks_by_itself_and_the_board_shows_how_long(database: str) -> None:
    async with inside(database, healing=False) as made, made.client() as anna:
        number = await a_device(anna)
        today = utc_now().astimezone(made.settings.zone).date()
        await verify(anna, number, today + timedelta(days=20))
        stop = asyncio.Event()
        tasks = [task(stop) for task in looking_tasks(made.settings, made.deps.desk)]
        working = asyncio.gather(*tasks)

        async def announced() -> bool:
            return bool(await made.events(VerificationDue))

        try:
            await eventually(announced)
        finally:
            stop.set()
            await working
        [one] = (await anna.get("/devices/board")).json()["devices"]
        left = (date.fromisoformat(one["next_verification"]) - today).days
        assert (one["verification_days"], left) == (20, 20)
