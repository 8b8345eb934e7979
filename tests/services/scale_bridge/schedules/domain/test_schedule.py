"""A schedule by interval: due, claimed, run, made up for (R8, R10, S10 to S13)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.scale_bridge import DeviceId, ScheduleClaimed, ScheduleRan, ScheduleSet
from libs.eventsourcing.testing import Scenario
from libs.testing.decisions import decision_table, row
from services.scale_bridge.schedules.domain.schedule import (
    MOST_MINUTES,
    SCHEDULE,
    SPREAD,
    BadInterval,
    ClaimRun,
    RecordRun,
    SchedulingOff,
    SetSchedule,
    following,
    late_start,
    run_id,
)
from tests.services.scale_bridge.usual import Usual

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEVICE = DeviceId(UUID(int=7))


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


DUE, NEXT = hours(1), hours(2)
made = Usual(NOON, device_id=DEVICE, operation_id=run_id(DEVICE, DUE))


def set_to(enabled: bool = True, interval: int = 60, **different: Any) -> SetSchedule:
    return made(SetSchedule, enabled=enabled, interval_minutes=interval, **different)


def was_set(enabled: bool = True) -> ScheduleSet:
    due = DUE if enabled else None
    return made(ScheduleSet, enabled=enabled, interval_minutes=60, next_run_at=due)


def claim(now: datetime) -> ClaimRun:
    return made(ClaimRun, now=now)


def claimed(at: datetime = DUE, next_run_at: datetime = NEXT) -> ScheduleClaimed:
    return made(ScheduleClaimed, next_run_at=next_run_at, claimed_at=at)


def ran(error: str | None = None) -> ScheduleRan:
    status = "OK" if error is None else "ERROR"
    return made(ScheduleRan, status=status, error=error, ran_at=hours(1.1))


ON, OFF, RUNNING = [was_set()], was_set(enabled=False), [was_set(), claimed()]
LATE, RECORD = hours(7.5), made(RecordRun, error=None, now=hours(1.1))
BEGINS = late_start(DEVICE, DUE, LATE, within=SPREAD)
COALESCED = made(
    ScheduleClaimed,
    claimed_at=LATE,
    begins_at=BEGINS,
    next_run_at=BEGINS + timedelta(hours=1),
)
A_LITTLE_LATE = late_start(DEVICE, DUE, hours(1.9), within=SPREAD)

test_what_is_decided = decision_table(
    SCHEDULE,
    row("the first run is an interval after it is switched on", [], set_to(), was_set()),
    # A client says it on every keystroke (S10).
    row("the same again shifts nothing", ON, set_to(now=hours(0.9))),
    row("switching off", ON, set_to(enabled=False), OFF),
    row("stops it", [*ON, OFF], claim(hours(99))),
    # Such a one once stopped everybody's (S11).
    *(
        row(f"an interval of {minutes}", [], set_to(interval=minutes), BadInterval)
        for minutes in (0, -1, MOST_MINUTES + 1, 10**12)
    ),
    # None is switched on while nothing will ever run (S13).
    row("where schedules are off for everybody", [], set_to(may_run=False), SchedulingOff),
    row("it can be switched off there", [], set_to(enabled=False, may_run=False), OFF),
    row("what is not due is not claimed", ON, claim(hours(0.99))),
    row("what is due is claimed", ON, claim(DUE), claimed()),
    row(
        "after a run that was a little late the beat is kept",
        *(ON, claim(hours(1.9)), replace(claimed(at=hours(1.9)), begins_at=A_LITTLE_LATE)),
    ),
    row("a run under way is not claimed again (S12)", RUNNING, claim(DUE)),
    row("however long it takes (S12)", RUNNING, claim(hours(5))),
    row("what became of a run is recorded", RUNNING, RECORD, ran()),
    row("once", [*RUNNING, ran()], RECORD),
    row("of a run that never was", [], RECORD),
)


def test_after_downtime_there_is_one_run_and_then_a_whole_interval() -> None:
    """R10: coalesced."""
    Scenario(SCHEDULE).given(*ON).when(claim(LATE)).then(COALESCED)
    Scenario(SCHEDULE).given(*ON, COALESCED, ran()).when(claim(LATE)).then_nothing()


@given(st.integers(1, 60), st.integers(3, 9), st.sets(st.uuids(), min_size=6, max_size=6))
def test_missed_runs_of_many_scales_are_spread(interval: int, missed: int, ids: set[UUID]) -> None:
    """So is the run after it; every scale has a whole interval in between (R10)."""
    length = timedelta(minutes=interval)
    history = [replace(was_set(), interval_minutes=interval)]
    now = DUE + length * missed
    runs = []
    for device in map(DeviceId, sorted(ids)):
        [run] = SCHEDULE.decide(
            SCHEDULE.state_after(history), replace(claim(now), device_id=device)
        )
        assert isinstance(run, ScheduleClaimed)
        runs.append(run)

    begins = [run.begins_at or now for run in runs]
    assert len({*begins}) == len(runs)
    assert all(now <= at <= now + min(SPREAD, length / 2) for at in begins)
    assert [run.next_run_at - at for run, at in zip(runs, begins, strict=True)] == [length] * 6


@given(
    interval=st.integers(1, MOST_MINUTES), late=st.timedeltas(timedelta(0), timedelta(days=4000))
)
def test_the_next_run_keeps_the_rhythm(interval: int, late: timedelta) -> None:
    now, length = DUE + late, timedelta(minutes=interval)
    found = following(DUE, interval, now)
    assert now < found <= now + length
    assert (found - DUE) % length == timedelta(0)


def test_a_failed_run_has_a_reason_and_the_next_is_due() -> None:
    after = SCHEDULE.state_after([was_set(), claimed(), ran(error="Нет соединения с весами.")])
    assert (after.last_status, after.last_error) == ("ERROR", "Нет соединения с весами.")
    assert (after.is_due(hours(1.5)), after.is_due(hours(2))) == (False, True)


def test_a_run_ends_although_the_schedule_was_switched_off() -> None:
    after = SCHEDULE.state_after([was_set(), claimed(), was_set(enabled=False), ran()])
    assert (after.enabled, after.running, after.last_status) == (False, None, "OK")


def test_workers_that_claim_the_same_run_name_the_same_operation() -> None:
    assert run_id(DEVICE, DUE) == run_id(DEVICE, hours(1))
    assert run_id(DEVICE, DUE) != run_id(DEVICE, hours(2))
    assert run_id(DEVICE, DUE) != run_id(DeviceId(UUID(int=8)), DUE)
