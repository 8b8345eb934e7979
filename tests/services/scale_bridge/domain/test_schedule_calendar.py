"""A schedule by a calendar: claimed, made up for or skipped, timed anew, and back (SCL-5)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.scale_bridge import (
    ScaleBridgeEvent,
    ScheduleCalendar,
    ScheduleClaimed,
    ScheduleSet,
)
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.testing import Scenario
from services.scale_bridge.domain.calendar import calendar
from services.scale_bridge.domain.schedule import SCHEDULE, SchedulingOff, upcoming
from services.scale_bridge.domain.schedule_commands import (
    ClaimRun,
    RecordRun,
    ScheduleCommand,
    SetSchedule,
)
from services.scale_bridge.domain.schedule_history import Schedule
from tests.services.scale_bridge.calendars import (
    BERLIN,
    DAILY,
    DEVICE,
    MINUTE,
    STRICT,
    by,
    claim,
    claimed,
    clock,
    every,
    ran,
    skipped,
    was_set,
)

NEW = Scenario(SCHEDULE)
ON, ON_STRICTLY = NEW.given(was_set()), NEW.given(was_set(STRICT))


def test_it_is_due_at_the_next_time_of_day() -> None:
    NEW.when(by()).then(was_set())
    NEW.when(by(now="1 08:00")).then(was_set(due="1 20:00", now="1 08:00"))


def test_the_same_again_shifts_nothing() -> None:
    ON.when(by(now="1 09:00")).then_nothing()


def test_what_is_due_is_claimed_and_the_next_is_the_next_time() -> None:
    ON.when(claim("1 07:59")).then_nothing()
    ON.when(claim("1 08:00")).then(claimed("1 08:00", now="1 08:00", following="1 20:00"))


def test_one_run_makes_up_for_all_that_were_missed() -> None:
    late = claimed("1 08:00", now="3 21:00", following="4 08:00", slot="3 20:00")
    ON.when(claim("3 21:00")).then(late)
    ON.given(late, ran("1 08:00", "3 21:01")).when(claim("3 21:02")).then_nothing()


def test_what_is_too_late_is_skipped_and_recorded() -> None:
    skip = skipped("1 08:00", now="3 21:00", runs=6, following="4 08:00")
    ON_STRICTLY.when(claim("3 21:00")).then(skip)
    ON_STRICTLY.given(skip).when(claim("3 21:01")).then_nothing()
    next_one = claimed("4 08:00", now="4 08:00", following="4 20:00")
    ON_STRICTLY.given(skip).when(claim("4 08:00")).then(next_one)


def test_what_is_a_little_late_is_run() -> None:
    run = claimed("1 08:00", now="1 08:15", following="1 20:00")
    ON_STRICTLY.when(claim("1 08:15")).then(run)


def test_of_those_missed_the_last_is_run_if_it_is_in_time() -> None:
    ON_STRICTLY.when(claim("1 20:10")).then(
        skipped("1 08:00", now="1 20:10", runs=1, following="1 20:00"),
        claimed("1 20:00", now="1 20:10", following="2 08:00"),
    )


def test_a_run_that_takes_long_lets_others_be_skipped_not_begin_beside_it() -> None:
    running = ON_STRICTLY.given(claimed("1 08:00", now="1 08:00", following="1 20:00"))
    running.when(claim("1 21:00")).then_nothing()
    skip = skipped("1 20:00", now="1 21:00", runs=1, following="2 08:00")
    running.given(ran("1 08:00", "1 20:50")).when(claim("1 21:00")).then(skip)


@pytest.mark.parametrize(
    ("other", "due"),
    [
        (calendar(["10:00"], zone="Europe/Berlin", weekdays=["sat"]), "6 10:00"),
        # 08:00 in Tokyo is 01:00 in Berlin.
        (calendar(["08:00", "20:00"], zone="Asia/Tokyo"), "1 13:00"),
    ],
    ids=["calendar", "zone"],
)
def test_another_calendar_or_zone_times_it_anew(other: ScheduleCalendar, due: str) -> None:
    ON.when(by(other, now="1 07:00")).then(was_set(other, due=due, now="1 07:00"))


def test_a_time_that_had_its_run_gets_no_other_by_another_spread() -> None:
    spread = calendar(["08:00", "20:00"], zone="Europe/Berlin", jitter_minutes=120)
    state = _state(was_set(), claimed("1 08:00", now="1 08:00", following="1 20:00"))
    (event,) = SCHEDULE.decide(state, by(spread, now="1 08:00"))
    assert isinstance(event, ScheduleSet)
    assert event.next_run_at is not None
    assert clock("1 20:00") <= event.next_run_at < clock("1 22:00")


def test_where_schedules_are_off_for_everybody_it_is_refused() -> None:
    NEW.when(by(may_run=False)).then_refused(SchedulingOff)
    NEW.when(by(may_run=False, enabled=False)).then(was_set(due=None))


def test_a_client_that_knows_intervals_only_switches_it() -> None:
    off = was_set(due=None, now="1 07:00")
    ON.when(every(1440)).then_nothing()
    ON.when(every(1440, enabled=False)).then(off)
    ON.given(off).when(every(1440)).then(was_set(now="1 07:00"))


@pytest.mark.parametrize("command", [every(60), every(1440, over=True)], ids=["other", "over"])
def test_another_interval_ends_the_calendar(command: SetSchedule) -> None:
    state = SCHEDULE.state_after([was_set(), *SCHEDULE.decide(_state(was_set()), command)])
    assert (state.calendar, state.interval_minutes) == (None, command.interval_minutes)
    assert state.next_run_at == command.now + timedelta(minutes=command.interval_minutes)


def test_the_interval_there_was_is_kept_beside_a_calendar() -> None:
    (first,) = SCHEDULE.decide(SCHEDULE.initial, every(60))
    (event,) = SCHEDULE.decide(_state(first), by())
    assert isinstance(event, ScheduleSet)
    assert (event.interval_minutes, event.calendar) == (60, DAILY)


def test_the_next_runs_are_listed() -> None:
    ahead = ["1 08:00", "1 20:00", "2 08:00", "2 20:00"]
    known = _state(was_set())
    assert upcoming(known, DEVICE, BERLIN, clock("1 06:00"), 4) == [clock(at) for at in ahead]
    late = ["1 08:00", "2 20:00", "3 08:00"]
    assert upcoming(known, DEVICE, BERLIN, clock("2 09:00"), 3) == [clock(at) for at in late]
    assert upcoming(_state(was_set(due=None)), DEVICE, BERLIN, clock("1 06:00"), 4) == []

    (hourly,) = SCHEDULE.decide(SCHEDULE.initial, every(60))
    beats = upcoming(_state(hourly), DEVICE, BERLIN, clock("1 07:30"), 3)
    assert beats == [clock("1 08:00"), clock("1 09:00"), clock("1 10:00")]


def test_logs_from_before_there_were_calendars_are_read() -> None:
    device, codec = f'"device_id":"{DEVICE}"', Codec[Any]((ScheduleSet, ScheduleClaimed))
    written = (
        f'{{{device},"enabled":true,"interval_minutes":60,"next_run_at":"2026-06-01T06:00:00Z",'
        '"set_by":"anna","set_at":"2026-06-01T05:00:00Z"}'
    )
    event = codec.decode("ScheduleSet", 1, written.encode())
    written = (
        f'{{{device},"operation_id":"{UUID(int=1)}","next_run_at":"2026-06-01T07:00:00Z",'
        '"claimed_at":"2026-06-01T06:00:00Z"}'
    )
    run = codec.decode("ScheduleClaimed", 1, written.encode())
    assert (event.calendar, run.slot) == (None, None)
    assert _state(event, run).next_run_at == clock("1 09:00")


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("look"), st.integers(0, 3000)),
        st.tuples(st.just("back"), st.integers(1, 60)),
        st.tuples(st.just("switch"), st.integers(0, 30)),
        st.tuples(st.just("spread"), st.integers(0, 120)),
    ),
    max_size=40,
)


@given(
    actions=ACTIONS,
    missed=st.sampled_from(["run", "skip"]),
    start=st.integers(0, 3000),
    times=st.lists(st.integers(0, 23), min_size=1, max_size=6),
)
def test_no_time_of_a_day_ever_has_two_runs(
    actions: list[tuple[str, int]], missed: str, start: int, times: list[int]
) -> None:
    """Whatever is set meanwhile, however long nobody looks, and if the clock goes back an hour."""
    at, jitter, state = [f"{hour:02}:30" for hour in times], 0, Schedule()
    now = datetime(2026, 10, 24, tzinfo=UTC) + start * MINUTE
    slots: list[datetime | None] = []
    for action, number in [("spread", 0), *actions]:
        now += -number * MINUTE if action == "back" else number * MINUTE
        jitter = number if action == "spread" else jitter
        its = calendar(at, zone="Europe/Berlin", jitter_minutes=jitter, missed=missed)
        command: ScheduleCommand = ClaimRun(device_id=DEVICE, now=now, zone=BERLIN)
        if action in ("switch", "spread"):
            on = action == "spread" or not state.enabled
            command = replace(by(its, enabled=on), now=now)
        events = SCHEDULE.decide(state, command)
        for event in events:
            state = SCHEDULE.evolve(state, event)
            if isinstance(event, ScheduleClaimed):
                slots.append(event.slot)
                state = SCHEDULE.evolve(state, _over(state, now))
        assert not events or state.next_run_at is None or state.next_run_at > now
    assert len(set(slots)) == len(slots)
    assert slots == sorted(slot for slot in slots if slot is not None)


def _over(state: Schedule, now: datetime) -> ScaleBridgeEvent:
    assert state.running is not None
    record = RecordRun(device_id=DEVICE, operation_id=state.running, error=None, now=now)
    (event,) = SCHEDULE.decide(state, record)
    return event


def _state(*events: ScaleBridgeEvent) -> Schedule:
    return SCHEDULE.state_after(events)
