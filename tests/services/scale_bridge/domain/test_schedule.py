"""A schedule: due, claimed, run, coalesced, and nobody else's business (R10, S10 to S13)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.scale_bridge import (
    DeviceId,
    ScaleBridgeEvent,
    ScheduleClaimed,
    ScheduleRan,
    ScheduleSet,
)
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.schedule import (
    MOST_MINUTES,
    SCHEDULE,
    BadInterval,
    SchedulingOff,
    following,
    run_id,
)
from services.scale_bridge.domain.schedule_commands import ClaimRun, RecordRun, SetSchedule

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEVICE = DeviceId(UUID(int=7))
DUE = NOON + timedelta(minutes=60)


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


def set_to(enabled: bool = True, interval: int = 60, **different: Any) -> SetSchedule:
    told = {"device_id": DEVICE, "enabled": enabled, "interval_minutes": interval, "set_by": "anna"}
    return SetSchedule(**{**told, "now": NOON, **different})


def was_set(enabled: bool = True, interval: int = 60) -> ScheduleSet:
    return ScheduleSet(
        device_id=DEVICE,
        enabled=enabled,
        interval_minutes=interval,
        next_run_at=DUE if enabled else None,
        set_by="anna",
        set_at=NOON,
    )


def claimed(due: datetime = DUE, *, at: datetime = DUE, next_run_at: datetime) -> ScheduleClaimed:
    return ScheduleClaimed(
        device_id=DEVICE,
        operation_id=run_id(DEVICE, due),
        next_run_at=next_run_at,
        claimed_at=at,
    )


def ran(due: datetime = DUE, error: str | None = None) -> ScheduleRan:
    status = "OK" if error is None else "ERROR"
    return ScheduleRan(
        device_id=DEVICE,
        operation_id=run_id(DEVICE, due),
        status=status,
        error=error,
        ran_at=hours(1.1),
    )


def test_the_first_run_is_due_an_interval_after_it_is_switched_on() -> None:
    Scenario(SCHEDULE).when(set_to()).then(was_set())


def test_setting_the_same_again_shifts_nothing() -> None:
    """R10, S10: a client says it on every keystroke."""
    Scenario(SCHEDULE).given(was_set()).when(set_to(now=hours(0.9))).then_nothing()


def test_switching_off_stops_it() -> None:
    """R10."""
    Scenario(SCHEDULE).given(was_set()).when(set_to(enabled=False)).then(was_set(enabled=False))
    off = Scenario(SCHEDULE).given(was_set(), was_set(enabled=False))
    off.when(ClaimRun(device_id=DEVICE, now=hours(99))).then_nothing()


@pytest.mark.parametrize("interval", [0, -1, MOST_MINUTES + 1, 10**12])
def test_an_interval_out_of_bounds_is_refused(interval: int) -> None:
    """R10, S11: such a one once stopped everybody's."""
    Scenario(SCHEDULE).when(set_to(interval=interval)).then_refused(BadInterval)


@pytest.mark.parametrize("interval", [1, MOST_MINUTES])
def test_the_longest_and_the_shortest_interval_can_be_set(interval: int) -> None:
    """R10."""
    first = NOON + timedelta(minutes=interval)
    state = SCHEDULE.state_after(SCHEDULE.decide(SCHEDULE.initial, set_to(interval=interval)))
    assert state.next_run_at == first


def test_where_schedules_are_off_for_everybody_it_is_said() -> None:
    """R10, S13: nobody is told that it is on while nothing will ever run."""
    Scenario(SCHEDULE).when(set_to(may_run=False)).then_refused(SchedulingOff)
    Scenario(SCHEDULE).when(set_to(enabled=False, may_run=False)).then(was_set(enabled=False))


def test_what_is_due_is_claimed_and_what_is_not_is_not() -> None:
    """R10."""
    given_ = Scenario(SCHEDULE).given(was_set())
    given_.when(ClaimRun(device_id=DEVICE, now=hours(0.99))).then_nothing()
    given_.when(ClaimRun(device_id=DEVICE, now=DUE)).then(claimed(next_run_at=hours(2)))


def test_a_run_under_way_is_nobody_elses() -> None:
    """R10, S12."""
    under_way = Scenario(SCHEDULE).given(was_set(), claimed(next_run_at=hours(2)))
    under_way.when(ClaimRun(device_id=DEVICE, now=DUE)).then_nothing()
    under_way.when(ClaimRun(device_id=DEVICE, now=hours(5))).then_nothing()


def test_after_downtime_there_is_one_run_and_the_beat_is_kept() -> None:
    """R10: coalesced."""
    late = hours(7.5)
    claim = claimed(at=late, next_run_at=hours(8))
    Scenario(SCHEDULE).given(was_set()).when(ClaimRun(device_id=DEVICE, now=late)).then(claim)
    again = Scenario(SCHEDULE).given(was_set(), claim, ran())
    again.when(ClaimRun(device_id=DEVICE, now=late)).then_nothing()


@given(
    interval=st.integers(1, MOST_MINUTES), late=st.timedeltas(timedelta(0), timedelta(days=4000))
)
def test_the_next_run_is_the_first_on_the_beat_that_is_yet_to_come(
    interval: int, late: timedelta
) -> None:
    """R10."""
    now, length = DUE + late, timedelta(minutes=interval)
    found = following(DUE, interval, now)
    assert now < found <= now + length
    assert (found - DUE) % length == timedelta(0)


def test_what_became_of_a_run_is_recorded_once() -> None:
    under_way = Scenario(SCHEDULE).given(was_set(), claimed(next_run_at=hours(2)))
    record = RecordRun(
        device_id=DEVICE, operation_id=run_id(DEVICE, DUE), error=None, now=hours(1.1)
    )
    under_way.when(record).then(ran())
    under_way.given(ran()).when(record).then_nothing()
    Scenario(SCHEDULE).when(record).then_nothing()


def test_a_failed_run_says_why_and_the_next_one_comes() -> None:
    """R8."""
    failed = ran(error="Нет соединения с весами.")
    history: list[ScaleBridgeEvent] = [was_set(), claimed(next_run_at=hours(2)), failed]
    after = SCHEDULE.state_after(history)
    assert (after.last_status, after.last_error) == ("ERROR", "Нет соединения с весами.")
    assert after.is_due(hours(2))
    assert not after.is_due(hours(1.5))


def test_switched_off_during_a_run_it_still_ends() -> None:
    history: list[ScaleBridgeEvent] = [was_set(), claimed(next_run_at=hours(2))]
    history += [was_set(enabled=False), ran()]
    after = SCHEDULE.state_after(history)
    assert (after.enabled, after.running, after.last_status) == (False, None, "OK")


def test_whoever_claims_a_run_means_the_same_operation() -> None:
    assert run_id(DEVICE, DUE) == run_id(DEVICE, hours(1))
    assert run_id(DEVICE, DUE) != run_id(DEVICE, hours(2))
    assert run_id(DEVICE, DUE) != run_id(DeviceId(UUID(int=8)), DUE)
