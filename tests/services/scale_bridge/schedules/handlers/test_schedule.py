"""Runs of schedules: claimed once, executed, recorded (R7, R8, R10)."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from httpx import AsyncClient

from contracts.scale_bridge import OperationQueued, ScheduleClaimed, ScheduleRan, ScheduleSkipped
from libs.clock import utc_now
from libs.eventsourcing.log import Metadata
from libs.postgres.doorbell import PROJECTED
from libs.process.service import job_tasks
from libs.testing.polling import PATIENCE_SECONDS, eventually
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.devices.domain.device import device_id_of
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.schedules.domain.schedule import SetCalendar, SetSchedule
from services.scale_bridge.schedules.handlers import schedule
from tests.services.scale_bridge.calendars import DAILY, STRICT, by, clock, every
from tests.services.scale_bridge.schedules.api.test_schedules import put_interval
from tests.services.scale_bridge.service import (
    BORIS,
    Device,
    Service,
    open_device,
    open_service,
    register,
)

METADATA: Final = Metadata(tenant="demo")


async def set_calendar(service: Service, client: AsyncClient, its: Any = DAILY) -> int:
    """A new device with a calendar, set early on the first day."""
    number = await register(client)
    await change(service, by(its, device_id=device_id_of(number)))
    return number


async def change(service: Service, command: SetCalendar | SetSchedule) -> None:
    """Set a schedule at the moment of the command."""
    await schedule.put(service.deps, command, METADATA)
    await service.caught_up()


async def begin_due(service: Service, now: str | datetime) -> int:
    """Six workers claim due runs at once; how many runs began."""
    at = clock(now) if isinstance(now, str) else now
    begun = await asyncio.gather(*(schedule.run_due(service.deps, at) for _ in range(6)))
    await service.caught_up()
    return sum(begun)


async def wait_recorded(service: Service) -> None:
    """Wait until one more run is recorded, after a worker executed its operation."""
    before = len(await service.events(ScheduleRan))

    async def recorded() -> bool:
        await service.caught_up()
        await schedule.record_ended(service.deps, utc_now())
        return len(await service.events(ScheduleRan)) > before

    await eventually(recorded)
    await service.caught_up()


async def test_a_due_run_is_claimed_by_exactly_one_worker(database: str) -> None:
    """R10, S12: several workers claim at once, and again."""
    async with open_service(database) as service, service.client() as anna:
        for _ in range(3):
            await put_interval(anna, await register(anna), True, 60)
        await service.caught_up()
        soon = utc_now() + timedelta(minutes=61)
        for _ in range(2):
            workers = [schedule.run_due(service.deps, soon) for _ in range(6)]
            assert sum(await asyncio.gather(*workers)) in (0, 3)
        claimed = await service.events(ScheduleClaimed)
        queued = await service.events(OperationQueued)

    assert len(claimed) == len(queued) == 3
    assert {one.operation_id for one in claimed} == {one.operation_id for one in queued}
    assert {(one.kind, one.asked_by) for one in queued} == {("refresh", "schedule")}


async def test_missed_runs_of_six_scales_are_spread(database: str) -> None:
    """R10"""
    async with open_service(database) as service, service.client() as anna:
        for _ in range(6):
            await put_interval(anna, await register(anna), True, 60)
        await service.caught_up()
        assert await begin_due(service, utc_now() + timedelta(hours=4)) == 6
        claimed = await service.events(ScheduleClaimed)
        starts = await service.fetch_value("SELECT count(DISTINCT not_before) FROM work")

    assert starts == 6
    assert {one.next_run_at - one.begins_at for one in claimed} == {timedelta(hours=1)}


async def test_the_run_of_a_worker_that_died_is_queued_by_another(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R10, R25: a claim names the operation."""
    async with open_service(database) as service, service.client() as anna:
        await put_interval(anna, await register(anna), True, 60)
        await service.caught_up()
        alive = service.deps
        soon = utc_now() + timedelta(minutes=61)

        async def die(*_: Any) -> None:
            raise ConnectionError

        with monkeypatch.context() as dying:
            dying.setattr(operation, "enqueue", die)
            assert await schedule.run_due(alive, soon) == 0
        await service.caught_up()
        await schedule.record_ended(alive, soon)
        assert await service.events(OperationQueued) == []
        await schedule.record_ended(alive, soon + timedelta(seconds=30))
        await schedule.record_ended(alive, soon + timedelta(seconds=31))
        (queued,) = await service.events(OperationQueued)
        (claimed,) = await service.events(ScheduleClaimed)
        assert queued.operation_id == claimed.operation_id


async def test_a_removed_device_has_no_schedule(database: str) -> None:
    """R10, S12."""
    async with open_service(database) as service, service.client() as anna:
        number = await register(anna)
        await put_interval(anna, number, True, 60)
        assert (await anna.delete(f"/devices/{number}")).status_code == 204
        await service.caught_up()

        assert await begin_due(service, utc_now() + timedelta(days=1)) == 0
        assert await service.events(ScheduleClaimed) == []


async def test_changes_of_other_schedules_do_not_shift_a_run(database: str) -> None:
    """R10, S10."""
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS) as boris,
    ):
        number, other = await register(anna), await register(boris)
        await put_interval(anna, number, True, 60)
        began = utc_now()
        await put_interval(boris, other, True, 1)
        await put_interval(boris, other, True, 90)
        await anna.put(f"/devices/{number}", json={"name": "Колбаса"})
        await put_interval(anna, number, True, 60)
        await service.caught_up()

        assert await schedule.run_due(service.deps, began + timedelta(minutes=60)) == 1
        (claimed,) = await service.events(ScheduleClaimed)
        assert claimed.next_run_at < began + timedelta(minutes=120)


async def run_now(device: Device, *, hours: int = 1) -> Any:
    """Make the schedule due, and wait until its run is recorded; the answer then."""
    await put_interval(device.owner, device.number, True, 60)
    await device.service.caught_up()
    later = utc_now() + timedelta(hours=hours, minutes=1)
    assert await schedule.run_due(device.service.deps, later)
    await wait_recorded(device.service)
    return await device.read("/auto-update")


async def test_a_run_sets_dates_sends_them_and_keeps_pending_edits(database: str) -> None:
    """R7, R8, R13, S4: the scale shows the edits afterwards."""
    async with open_device(database, 4) as device:
        await device.set_price(2, 55.5)
        zone = device.service.settings.zone
        days = [f"{utc_now().astimezone(zone):%d-%m-%y}"]
        answer = await run_now(device)
        days.append(f"{utc_now().astimezone(zone):%d-%m-%y}")

        assert (answer["last_status"], answer["last_error"]) == ("OK", None)
        assert answer["last_run_utc"].endswith("Z")
        assert len(answer["last_run_utc"]) == len("2026-03-01T09:30:00Z")
        shown = device.scale.base.products
        [day] = {item["manufactureDate"] for item in shown}
        assert day in days
        assert shown[1]["price"] == 55.5
        assert await device.is_listed_dirty() is False


async def test_a_failed_run_has_a_reason_and_leaves_the_catalogue_dirty(database: str) -> None:
    """R8, S5."""
    async with open_device(database, 4) as device:
        device.scale.faults.set(["pw"])
        answer = await run_now(device)
        assert (answer["last_status"], answer["last_error"]) == ("ERROR", "Неверный пароль весов.")
        assert await device.is_listed_dirty() is True

        device.scale.faults.set([])
        answer = await run_now(device, hours=2)
        assert answer["last_status"] == "OK"
        assert await device.is_listed_dirty() is False


@pytest.mark.parametrize("on", [True, False])
async def test_the_worker_begins_due_runs(
    database: str, monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    """It records runs too; where schedules are off, it does nothing else."""
    async with open_service(database, scheduler_on=on, round_seconds=0.01) as service:
        async with service.client() as anna:
            number = await register(anna)
        await change(service, every(60, device_id=device_id_of(number)))
        await three_rounds(service, monkeypatch)
        assert len(await service.events(ScheduleClaimed)) == int(on)


async def test_an_idle_worker_waits_for_projected_events_and_due_runs(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "RESTING_SECONDS", 3600.0)
    async with (
        open_service(database, healing=False, round_seconds=0.01) as service,
        service.client() as anna,
    ):
        stop, doorbell = asyncio.Event(), service.deps.doorbell
        await eventually(lambda: doorbell.is_listening)
        (task, *_) = job_tasks(SERVICE, service.deps)
        working = asyncio.ensure_future(task(stop))
        try:
            number = await register(anna)
            await change(service, every(60, device_id=device_id_of(number)))
            soon = "UPDATE schedule SET next_run_at = now() + interval '1 second'"
            await service.execute(soon)
            doorbell.ring(PROJECTED)
            await eventually(lambda: service.events(ScheduleClaimed))
        finally:
            stop.set()
            await working


async def three_rounds(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the periodic task run three times."""
    stop, record_ended, rounds = asyncio.Event(), schedule.record_ended, 0

    async def counted(*args: Any) -> int:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()
        return await record_ended(*args)

    monkeypatch.setattr(schedule, "record_ended", counted)
    (task, *_) = job_tasks(SERVICE, service.deps)
    await asyncio.wait_for(task(stop), PATIENCE_SECONDS)


async def test_runs_missed_in_a_downtime_are_skipped_and_recorded_once(database: str) -> None:
    async with open_service(database) as service, service.client() as anna:
        number = await set_calendar(service, anna, STRICT)
    async with open_service(database) as service, service.client() as anna:
        for now in ("4 12:00", "4 12:02"):
            assert await begin_due(service, now) == 0
        [skip] = await service.events(ScheduleSkipped)
        answer = (await anna.get(f"/devices/{number}/schedule")).json()
        assert await begin_due(service, "4 20:00") == 1

    assert (skip.due_at, skip.runs) == (clock("1 08:00"), 7)
    assert answer["last_skipped"] == {
        "at_utc": "2026-06-04T10:00:00Z",
        "due_utc": "2026-06-01T06:00:00Z",
        "runs": 7,
        "reason": "late",
    }
    assert (answer["last_status"], answer["last_run_utc"]) == (None, None)


async def test_an_unknown_zone_stops_no_other_schedule(database: str) -> None:
    """Time zones come with the machine."""
    async with open_service(database) as service, service.client() as anna:
        _, lost = [await set_calendar(service, anna) for _ in range(2)]
        await service.execute(
            "UPDATE schedule SET calendar = calendar || $1::jsonb WHERE device_id = $2",
            '{"zone": "Europe/Atlantis"}',
            device_id_of(lost),
        )
        assert await begin_due(service, "1 08:00") == 1

        path = f"/devices/{lost}/schedule"
        answer = await anna.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "UnknownZone")
        mended = await anna.put(path, json={"enabled": True, "every_minutes": 60})
        assert (mended.status_code, mended.json()["every_minutes"]) == (200, 60)


@pytest.mark.parametrize("name", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_today_is_the_day_in_the_zone_of_the_calendar(database: str, name: str) -> None:
    """R13: between these zones the day is never the same."""
    async with open_device(database, 4) as device:
        answer = await device.put("/schedule", enabled=True, at=["08:00"], zone=name)
        await device.service.caught_up()
        days = [utc_now().astimezone(ZoneInfo(name))]
        due = datetime.fromisoformat(answer.json()["next_run_utc"])
        assert await begin_due(device.service, due) == 1
        await wait_recorded(device.service)
        days.append(utc_now().astimezone(ZoneInfo(name)))
        after = await device.read("/schedule")

    assert after["last_status"] == "OK"
    [written] = {item["manufactureDate"] for item in device.scale.base.products}
    assert written in {f"{day:%d-%m-%y}" for day in days}
