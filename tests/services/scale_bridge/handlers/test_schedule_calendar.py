"""Runs by a shop's clock: one per device and time, whoever looks, dies or was away (SCL-5, R10)."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts.scale_bridge import (
    OperationQueued,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
    ScheduleSkipped,
)
from libs.clock import utc_now
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Cause
from services.scale_bridge.domain.calendar import calendar
from services.scale_bridge.domain.device import device_id_of
from services.scale_bridge.domain.schedule import SCHEDULE
from services.scale_bridge.domain.schedule_commands import RecordRun, SetCalendar
from services.scale_bridge.handlers import schedule
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.calendars import DAILY, STRICT, clock
from tests.services.scale_bridge.inside import (
    BORIS,
    Inside,
    eventually,
    fetched,
    inside,
    registered,
    working,
)
from tests.services.scale_bridge.scheduled import a_device, scheduling

CAUSE = Cause(tenant="demo")


async def timed(made: Inside, number: int, its: Any, now: str) -> None:
    command = SetCalendar(
        device_id=device_id_of(number),
        enabled=True,
        calendar=its,
        zone=ZoneInfo(its.zone),
        interval_minutes=1440,
        set_by="anna",
        now=clock(now),
    )
    await schedule.put(made.deps.desk.store, made.deps.reading, command, CAUSE)
    await made.fresh.caught_up("schedule")


async def look(made: Inside, now: str | datetime) -> int:
    """Six workers look at once; how many runs began."""
    at = clock(now) if isinstance(now, str) else now
    begun = await asyncio.gather(*(schedule.run_due(scheduling(made), at) for _ in range(6)))
    await made.fresh.caught_up("schedule")
    return sum(begun)


async def over(made: Inside, now: str) -> None:
    """Every run under way has ended, as `record_ended` says of one that a bridge did."""
    for claim in await made.events(ScheduleClaimed):
        record = RecordRun(
            device_id=claim.device_id, operation_id=claim.operation_id, error=None, now=clock(now)
        )
        await execute(made.deps.desk.store, SCHEDULE, claim.device_id, record, cause=CAUSE)
    await made.fresh.caught_up("schedule")


async def test_a_time_of_day_is_claimed_by_exactly_one_worker(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        for name in ("Сыр", "Хлеб", "Мясо"):
            await timed(made, await a_device(anna, name), DAILY, "1 06:00")
        assert await look(made, "1 07:59") == 0
        assert await look(made, "1 08:00") == 3
        assert await look(made, "1 08:00") == 0
        await over(made, "1 08:01")
        assert await look(made, "1 08:02") == 0
        assert await look(made, "1 20:00") == 3
        claims = await made.events(ScheduleClaimed)
        queued = await made.events(OperationQueued)

    assert len(claims) == 6
    assert {one.operation_id for one in claims} == {one.operation_id for one in queued}
    assert {one.slot for one in claims} == {clock("1 08:00"), clock("1 20:00")}


async def test_scales_with_a_spread_begin_one_after_the_other(database: str) -> None:
    its = calendar(["08:00"], zone="Europe/Berlin", jitter_minutes=60)
    async with inside(database) as made, made.client() as anna:
        for number in range(8):
            await timed(made, await a_device(anna, f"Весы {number}"), its, "1 06:00")
        begun = [await look(made, clock("1 08:00") + timedelta(minutes=n)) for n in range(0, 61, 5)]

    assert sum(begun) == 8
    assert max(begun) < 8


@pytest.mark.parametrize("its", [DAILY, STRICT], ids=["run", "skip"])
async def test_after_downtime_over_several_times(database: str, its: Any) -> None:
    """One run makes up for all of them; or none, and that is said, once."""
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        await timed(made, number, its, "1 06:00")
    async with inside(database) as made, made.client() as anna:
        begun = await look(made, "4 12:00")
        await over(made, "4 12:01")
        assert await look(made, "4 12:02") == 0
        skips = await made.events(ScheduleSkipped)
        told = (await anna.get(f"/devices/{number}/schedule")).json()
        assert await look(made, "4 20:00") == 1

    if its is DAILY:
        assert (begun, skips, told["last_skipped"]) == (1, [], None)
    else:
        assert (begun, len(skips)) == (0, 1)
        assert (skips[0].due_at, skips[0].runs) == (clock("1 08:00"), 7)
        assert told["last_skipped"] == {
            "at_utc": "2026-06-04T10:00:00Z",
            "due_utc": "2026-06-01T06:00:00Z",
            "runs": 7,
            "reason": "late",
        }
        assert (told["last_status"], told["last_run_utc"]) == (None, None)


async def test_a_clock_that_is_moved_repeats_no_run(database: str) -> None:
    """Forward over two times, back before both, and on."""
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        await timed(made, number, DAILY, "1 06:00")
        assert await look(made, "1 21:00") == 1
        await over(made, "1 21:01")
        assert await look(made, "1 07:00") == 0
        assert await look(made, "1 08:00") == 0
        spread = calendar(DAILY.at, zone="Europe/Berlin", jitter_minutes=5)
        await timed(made, number, spread, "1 07:00")
        assert await look(made, "1 20:30") == 0
        assert await look(made, "2 08:05") == 1


async def test_a_change_of_zone_times_only_that_schedule_anew(database: str) -> None:
    async with inside(database) as made, made.client() as anna, made.client(BORIS) as boris:
        changed, other = await a_device(anna), await a_device(boris)
        for number in (changed, other):
            await timed(made, number, DAILY, "1 06:00")
        tokyo = calendar(DAILY.at, zone="Asia/Tokyo")
        await timed(made, changed, tokyo, "1 07:00")

        assert len(await made.events(ScheduleSet)) == 3
        assert await look(made, "1 08:00") == 1
        (claimed,) = await made.events(ScheduleClaimed)
        assert claimed.device_id == device_id_of(other)
        assert await look(made, "1 13:00") == 1


async def test_a_zone_nobody_knows_any_more_holds_up_no_other(database: str) -> None:
    """Time zones come with the machine."""
    async with inside(database) as made, made.client() as anna:
        await timed(made, await a_device(anna), DAILY, "1 06:00")
        lost = await a_device(anna, "Хлеб")
        await timed(made, lost, DAILY, "1 06:00")
        await made.deps.desk.pool.execute(
            "UPDATE schedule SET calendar = calendar || $1::jsonb WHERE device_id = $2",
            '{"zone": "Europe/Atlantis"}',
            device_id_of(lost),
        )
        assert await look(made, "1 08:00") == 1

        path = f"/devices/{lost}/schedule"
        answer = await anna.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "UnknownZone")
        mended = await anna.put(path, json={"enabled": True, "every_minutes": 60})
        assert (mended.status_code, mended.json()["every_minutes"]) == (200, 60)


@pytest.mark.parametrize("name", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_today_is_the_day_of_the_clock_it_runs_by(database: str, name: str) -> None:
    """R13: between these zones the day is never the same."""
    body = {"enabled": True, "at": ["08:00"], "zone": name}
    async with a_scale(4) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        await fetched(anna, number)
        told = (await anna.put(f"/devices/{number}/schedule", json=body)).json()
        await made.fresh.caught_up("schedule")
        days = [utc_now().astimezone(ZoneInfo(name))]
        assert await look(made, datetime.fromisoformat(told["next_run_utc"])) == 1

        async def recorded() -> bool:
            await made.fresh.caught_up("schedule")
            await schedule.record_ended(scheduling(made), utc_now())
            return bool(await made.events(ScheduleRan))

        await eventually(recorded)
        await made.fresh.caught_up("schedule")
        days.append(utc_now().astimezone(ZoneInfo(name)))
        after = (await anna.get(f"/devices/{number}/schedule")).json()

    assert after["last_status"] == "OK"
    written = {item["manufactureDate"] for item in simulator.base.products}
    assert written <= {f"{day:%d-%m-%y}" for day in days}
    assert len(written) == 1
