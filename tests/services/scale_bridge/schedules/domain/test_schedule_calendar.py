"""A schedule by calendar: claimed, made up for or skipped, changed, ended (SCL-5)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.scale_bridge import ScaleBridgeEvent, ScheduleClaimed, ScheduleSet
from libs.eventsourcing.codec import Codec
from libs.testing.decisions import decision_table, row
from services.scale_bridge.schedules.domain.calendar import calendar
from services.scale_bridge.schedules.domain.schedule import (
    SCHEDULE,
    ClaimRun,
    RecordRun,
    Schedule,
    ScheduleCommand,
    SchedulingOff,
    SetSchedule,
    upcoming,
)
from tests.services.scale_bridge.calendars import (
    BERLIN,
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

ON, ON_STRICTLY = [was_set()], [was_set(STRICT)]
RUN = claimed("1 08:00", now="1 08:00", following="1 20:00")
LATE = claimed("1 08:00", now="3 21:00", following="4 08:00", slot="3 20:00")
A_LITTLE_LATE = claimed("1 08:00", now="1 08:15", following="1 20:00")
SKIPPED = skipped("1 08:00", now="3 21:00", runs=6, following="4 08:00")
AFTERWARDS = claimed("4 08:00", now="4 08:00", following="4 20:00")
FIRST_MISSED = skipped("1 08:00", now="1 20:10", runs=1, following="1 20:00")
SECOND_IN_TIME = claimed("1 20:00", now="1 20:10", following="2 08:00")
LONG, OVER = [*ON_STRICTLY, RUN], ran("1 08:00", "1 20:50")
SECOND_MISSED = skipped("1 20:00", now="1 21:00", runs=1, following="2 08:00")
OFF, ON_AGAIN = was_set(due=None, now="1 07:00"), was_set(now="1 07:00")
SATURDAYS = calendar(["10:00"], zone="Europe/Berlin", weekdays=["sat"])
IN_TOKYO = calendar(["08:00", "20:00"], zone="Asia/Tokyo")

test_what_is_decided = decision_table(
    SCHEDULE,
    row("it is due at the next time of day", [], by(), was_set()),
    row("or later", [], by(now="1 08:00"), was_set(due="1 20:00", now="1 08:00")),
    row("the same again shifts nothing", ON, by(now="1 09:00")),
    row("what is not due is not claimed", ON, claim("1 07:59")),
    row("what is due is claimed, and the next is the next time", ON, claim("1 08:00"), RUN),
    row("one run makes up for all that were missed", ON, claim("3 21:00"), LATE),
    row("and there is no other", [*ON, LATE, ran("1 08:00", "3 21:01")], claim("3 21:02")),
    row("what is too late is skipped and recorded", ON_STRICTLY, claim("3 21:00"), SKIPPED),
    row("once", [*ON_STRICTLY, SKIPPED], claim("3 21:01")),
    row("and the next is run", [*ON_STRICTLY, SKIPPED], claim("4 08:00"), AFTERWARDS),
    row("what is a little late is run", ON_STRICTLY, claim("1 08:15"), A_LITTLE_LATE),
    row(
        "of those missed the last is run if it is in time",
        *(ON_STRICTLY, claim("1 20:10"), FIRST_MISSED, SECOND_IN_TIME),
    ),
    row("beside a run that takes long none begins", LONG, claim("1 21:00")),
    row("and others are skipped", [*LONG, OVER], claim("1 21:00"), SECOND_MISSED),
    row(
        "another calendar times it anew",
        *(ON, by(SATURDAYS, now="1 07:00"), was_set(SATURDAYS, due="6 10:00", now="1 07:00")),
    ),
    row(
        "another zone times it anew: 08:00 in Tokyo is 01:00 in Berlin",
        *(ON, by(IN_TOKYO, now="1 07:00"), was_set(IN_TOKYO, due="1 13:00", now="1 07:00")),
    ),
    row("where schedules are off for everybody", [], by(may_run=False), SchedulingOff),
    row("it can be set there", [], by(may_run=False, enabled=False), was_set(due=None)),
    row("a client that knows intervals only changes nothing", ON, every(1440)),
    row("it can switch off", ON, every(1440, enabled=False), OFF),
    row("and on", [*ON, OFF], every(1440), ON_AGAIN),
)


def test_another_jitter_gives_a_time_no_second_run() -> None:
    spread = calendar(["08:00", "20:00"], zone="Europe/Berlin", jitter_minutes=120)
    (event,) = SCHEDULE.decide(_state(was_set(), RUN), by(spread, now="1 08:00"))
    assert isinstance(event, ScheduleSet)
    assert event.next_run_at is not None
    assert clock("1 20:00") <= event.next_run_at < clock("1 22:00")


@pytest.mark.parametrize(
    "command", [every(60), every(1440, ends_calendar=True)], ids=["other", "over"]
)
def test_another_interval_ends_the_calendar(command: SetSchedule) -> None:
    state = SCHEDULE.state_after([was_set(), *SCHEDULE.decide(_state(was_set()), command)])
    assert (state.calendar, state.interval_minutes) == (None, command.interval_minutes)
    assert state.next_run_at == command.now + timedelta(minutes=command.interval_minutes)


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
    """Also after changes of the schedule, after downtimes, and when a clock is set back an hour."""
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
