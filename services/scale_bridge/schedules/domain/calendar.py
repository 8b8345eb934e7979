"""A calendar: runs at times of day in a shop's zone, also when its clocks change (SCL-5).

A time that the clocks leave out is the first moment after the gap; one that they show twice is the
first of both. A run begins a little after its time, before the next one: the delay follows from the
scale and the day, so scales are spread, and a restart changes nothing.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise, takewhile
from typing import Final
from uuid import uuid5

from contracts.scale_bridge import DeviceId, ScheduleCalendar
from libs.errors import Unfit

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_TIMES: Final = 24
MOST_JITTER: Final = 120
MOST_GRACE: Final = 1440
GRACE: Final = 15
RUN: Final = "run"
SKIP: Final = "skip"

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_NEAR: Final = timedelta(hours=3)
_EARLIER: Final = timedelta(days=2)
"""Runs of earlier days are over: the spread and a change of clocks take less."""


class BadCalendar(Unfit):
    """A calendar has 1 to 24 times of day as HH:MM, weekdays, and bounds for jitter and grace."""


@dataclass(frozen=True, slots=True)
class Run:
    """A time of the calendar as a moment (`slot`), and when its run begins (`at`); both in UTC."""

    slot: datetime
    at: datetime


def calendar(
    at: Collection[str],
    *,
    zone: str,
    weekdays: Collection[str] = WEEKDAYS,
    jitter_minutes: int = 0,
    missed: str = RUN,
    grace_minutes: int = GRACE,
) -> ScheduleCalendar:
    """A calendar with its times sorted and without repetitions. Does not check the zone.

    Raises BadCalendar.
    """
    checked = ScheduleCalendar(
        at=tuple(sorted({f"{_time(text):%H:%M}" for text in at})),
        weekdays=tuple(day for day in WEEKDAYS if day in weekdays),
        zone=zone,
        jitter_minutes=jitter_minutes,
        missed=missed,
        grace_minutes=grace_minutes,
    )
    if (
        not 1 <= len(checked.at) <= MOST_TIMES
        or not checked.weekdays
        or not set(weekdays) <= set(WEEKDAYS)
        or not 0 <= jitter_minutes <= MOST_JITTER
        or missed not in (RUN, SKIP)
        or not 0 <= grace_minutes <= MOST_GRACE
    ):
        raise BadCalendar
    return checked


def moment(day: date, at: time, zone: tzinfo) -> datetime:
    """The moment, in UTC, when clocks in the zone first show a time on a day, or leave it out."""
    local = datetime.combine(day, at)
    latest = local.replace(tzinfo=zone).astimezone(UTC)
    if latest.astimezone(zone).replace(tzinfo=None) == local:
        return latest
    # Left out: `latest` by the offset before the change, `earliest` by the one after it.
    earliest = local.replace(tzinfo=zone, fold=1).astimezone(UTC)

    def shows_later(seconds: int) -> bool:
        shows = (earliest + seconds * _SECOND).astimezone(zone)
        return shows.replace(tzinfo=None) >= local

    between = range((latest - earliest) // _SECOND)
    return earliest + bisect_left(between, True, key=shows_later) * _SECOND


def runs(
    of: ScheduleCalendar, zone: tzinfo, device_id: DeviceId, *, since: datetime
) -> Iterator[Run]:
    """The runs that begin after `since`, in order, without end."""
    first = (since - _EARLIER).astimezone(zone).date()
    for (day, slot), (_, later) in pairwise(_slots(of, zone, first)):
        spread = min(timedelta(minutes=of.jitter_minutes), later - slot)
        at = slot + _share(device_id, day, spread // _SECOND) * _SECOND
        if at > since:
            yield Run(slot, at)


def next_run(
    of: ScheduleCalendar,
    zone: tzinfo,
    device_id: DeviceId,
    *,
    now: datetime,
    done: datetime | None = None,
) -> datetime:
    """When the next run begins, strictly after `now`.

    All slots up to `done` have had their run, also by an earlier calendar. A `done` far in the
    future is ignored: a clock was wrong.
    """
    known = done if done is not None and done <= now + _DAY else now - _EARLIER
    return next(run.at for run in runs(of, zone, device_id, since=now) if run.slot > known)


def missed(
    of: ScheduleCalendar, zone: tzinfo, device_id: DeviceId, *, due: datetime, now: datetime
) -> list[Run]:
    """The run that was due at `due`, and all later ones that should have begun by now.

    If the rules of the zone changed since the run was timed, it is the run nearest to `due`.
    """
    around = runs(of, zone, device_id, since=due - _NEAR)
    near = takewhile(lambda run: run.at <= due + _NEAR, around)
    nearest = min(near, key=lambda run: abs(run.at - due), default=Run(due, due))
    begun = takewhile(lambda run: run.at <= now, runs(of, zone, device_id, since=due))
    return [Run(nearest.slot, due), *(run for run in begun if run.slot > nearest.slot)]


def _time(text: str) -> time:
    try:
        value = time.fromisoformat(text)
    except ValueError:
        raise BadCalendar from None
    if text != f"{value:%H:%M}":
        raise BadCalendar
    return value


def _slots(of: ScheduleCalendar, zone: tzinfo, day: date) -> Iterator[tuple[date, datetime]]:
    """The times from a day on as moments, without repetitions."""
    times = [_time(text) for text in of.at]
    last = None
    while True:
        if WEEKDAYS[day.weekday()] in of.weekdays:
            for at in times:
                slot = moment(day, at, zone)
                if slot != last:
                    yield day, slot
                last = slot
        day += _DAY


def _share(device_id: DeviceId, day: date, seconds: int) -> int:
    """A delay below `seconds`: fixed for a scale and a day, spread evenly over scales."""
    return seconds * uuid5(device_id, f"spread {day}").int >> 128
