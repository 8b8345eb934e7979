"""Runs of auto-update: claimed once, done, recorded, and nobody else's business (R10)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from contracts.scale_bridge import OperationQueued, ScheduleClaimed, ScheduleRan
from libs.clock import utc_now
from libs.eventsourcing.log import Cause
from services.scale_bridge.bootstrap import looking_tasks
from services.scale_bridge.domain.device import device_id_of
from services.scale_bridge.domain.schedule_commands import SetSchedule
from services.scale_bridge.handlers import schedule
from services.scale_bridge.handlers.schedule import Scheduling
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    Inside,
    dirty,
    eventually,
    fetched,
    inside,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.scheduled import a_device, put, scheduling


async def test_a_due_run_is_begun_by_exactly_one_worker(database: str) -> None:
    """R10, S12: many look at once, and again."""
    async with inside(database) as made, made.client() as anna:
        numbers = [await a_device(anna, f"Весы {n}") for n in range(3)]
        for number in numbers:
            await put(anna, number, True, 60)
        await made.fresh.caught_up("schedule")
        soon = utc_now() + timedelta(minutes=61)
        for _ in range(2):
            workers = [schedule.run_due(scheduling(made), soon) for _ in range(6)]
            assert sum(await asyncio.gather(*workers)) in (0, 3)
        claimed = await made.events(ScheduleClaimed)
        queued = await made.events(OperationQueued)

    assert len(claimed) == len(queued) == 3
    assert {one.operation_id for one in claimed} == {one.operation_id for one in queued}
    assert {(one.kind, one.asked_by) for one in queued} == {("refresh", "schedule")}


async def test_whoever_claims_and_dies_leaves_the_run_to_the_next(database: str) -> None:
    """R10, R25: a claim says what is to be ordered."""
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        await put(anna, number, True, 60)
        await made.fresh.caught_up("schedule")
        dying = scheduling(made)
        soon = utc_now() + timedelta(minutes=61)

        async def die(_: Any) -> None:
            raise ConnectionError

        dead = Scheduling(store=dying.store, pool=dying.pool, order=die)
        assert await schedule.run_due(dead, soon) == 0
        await made.fresh.caught_up("schedule")
        assert await made.events(OperationQueued) == []

        await schedule.record_ended(dying, soon)
        assert await made.events(OperationQueued) == []
        await schedule.record_ended(dying, soon + timedelta(seconds=30))
        await schedule.record_ended(dying, soon + timedelta(seconds=31))
        (queued,) = await made.events(OperationQueued)
        (claimed,) = await made.events(ScheduleClaimed)
        assert queued.operation_id == claimed.operation_id


async def test_a_removed_device_has_no_schedule(database: str) -> None:
    """R10, S12."""
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        await put(anna, number, True, 60)
        assert (await anna.delete(f"/devices/{number}")).status_code == 204
        await made.fresh.caught_up("schedule")

        assert await schedule.run_due(scheduling(made), utc_now() + timedelta(days=1)) == 0
        assert await made.events(ScheduleClaimed) == []


async def test_nobody_else_shifts_a_schedule(database: str) -> None:
    """R10, S10."""
    async with inside(database) as made, made.client() as anna, made.client(BORIS) as boris:
        number, other = await a_device(anna), await a_device(boris)
        await put(anna, number, True, 60)
        began = utc_now()
        await put(boris, other, True, 1)
        await put(boris, other, True, 90)
        await anna.put(f"/devices/{number}", json={"name": "Колбаса"})
        await put(anna, number, True, 60)
        await made.fresh.caught_up("schedule")

        assert await schedule.run_due(scheduling(made), began + timedelta(minutes=60)) == 1
        (claimed,) = await made.events(ScheduleClaimed)
        assert claimed.next_run_at < began + timedelta(minutes=120)


async def test_a_run_sets_dates_sends_them_and_keeps_pending_edits(database: str) -> None:
    """R7, R8, R13, S4: nothing that was edited is lost, and the scale shows it afterwards."""
    async with a_scale(4) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        await fetched(anna, number)
        await patch(anna, number, 2, price=55.5)
        await run_now(made, anna, number)

        answer = (await anna.get(f"/devices/{number}/auto-update")).json()
        assert (answer["last_status"], answer["last_error"]) == ("OK", None)
        assert answer["last_run_utc"].endswith("Z")
        assert len(answer["last_run_utc"]) == len("2026-03-01T09:30:00Z")
        today = utc_now().astimezone(made.settings.zone)
        shown = simulator.base.products
        assert {item["manufactureDate"] for item in shown} == {f"{today:%d-%m-%y}"}
        assert shown[1]["price"] == 55.5
        assert await dirty(anna, number) is False


async def test_a_failed_run_says_so_and_leaves_it_dirty_until_the_next(database: str) -> None:
    """R8, S5."""
    async with a_scale(4) as simulator, working(database) as made, made.client() as anna:
        number = await registered(anna, simulator)
        await fetched(anna, number)
        simulator.faults.set(["pw"])
        await run_now(made, anna, number)

        answer = (await anna.get(f"/devices/{number}/auto-update")).json()
        assert (answer["last_status"], answer["last_error"]) == ("ERROR", "Неверный пароль весов.")
        assert await dirty(anna, number) is True

        simulator.faults.set([])
        await run_now(made, anna, number, hours=2)
        assert (await anna.get(f"/devices/{number}/auto-update")).json()["last_status"] == "OK"
        assert await dirty(anna, number) is False


async def run_now(made: Inside, anna: Any, number: int, *, hours: int = 1) -> None:
    """Have the schedule come due, and wait until its run is recorded."""
    await put(anna, number, True, 60)
    await made.fresh.caught_up("schedule")
    before = len(await made.events(ScheduleRan))
    assert await schedule.run_due(scheduling(made), utc_now() + timedelta(hours=hours, minutes=1))

    async def recorded() -> bool:
        await made.fresh.caught_up("schedule")
        await schedule.record_ended(scheduling(made), utc_now())
        return len(await made.events(ScheduleRan)) > before

    await eventually(recorded)
    await made.fresh.caught_up("device")


@pytest.mark.parametrize("on", [True, False])
async def test_the_worker_looks_for_what_is_due(
    database: str, monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    """Also for what became of runs; and where it is switched off, for nothing else."""
    async with inside(database, scheduler_on=on, round_seconds=0.01) as made:
        async with made.client() as anna:
            device_id = device_id_of(await a_device(anna))
        command = SetSchedule(
            device_id=device_id,
            enabled=True,
            interval_minutes=60,
            set_by="anna",
            now=utc_now() - timedelta(hours=9),
        )
        cause = Cause(tenant="demo")
        await schedule.put(made.deps.desk.store, made.deps.reading, command, cause)
        await made.fresh.caught_up("schedule")
        await three_turns(made, monkeypatch)
        assert len(await made.events(ScheduleClaimed)) == int(on)


async def three_turns(made: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker look three times."""
    stop, record_ended, turns = asyncio.Event(), schedule.record_ended, 0

    async def counted(*args: Any) -> int:
        nonlocal turns
        turns += 1
        if turns == 3:
            stop.set()
        return await record_ended(*args)

    monkeypatch.setattr(schedule, "record_ended", counted)
    (task, *_) = looking_tasks(made.settings, made.deps.desk)
    await asyncio.wait_for(task(stop), 30)
