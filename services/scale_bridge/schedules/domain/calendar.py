"""A calendar: runs at times of day by a shop's clock, also when that clock is changed (SCL-5).

A time that does not exist on a day is the first moment that does, one that exists twice the first
of both. A run comes a little after its time, as follows from the scale and the day: many scales do
not begin at once, and a restart shifts none. It never comes as late as the next time.
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
"""A run of a day so far back is over: a spread and a change of clocks take less."""


class BadCalendar(Unfit):
    """A calendar has 1 to 24 times of day as HH:MM, weekdays, and bounds for jitter and grace."""


@dataclass(frozen=True, slots=True)
class Run:
    """One time of the calendar as a moment, and when the run for it begins; both in UTC."""

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
    """The same one for the same times in any order. Raises BadCalendar; knows no zones."""
    made = ScheduleCalendar(
        at=tuple(sorted({f"{_time(one):%H:%M}" for one in at})),
        weekdays=tuple(day for day in WEEKDAYS if day in weekdays),
        zone=zone,
        jitter_minutes=jitter_minutes,
        missed=missed,
        grace_minutes=grace_minutes,
    )
    if (
        not 1 <= len(made.at) <= MOST_TIMES
        or not made.weekdays
        or not set(weekdays) <= set(WEEKDAYS)
        or not 0 <= jitter_minutes <= MOST_JITTER
        or missed not in (RUN, SKIP)
        or not 0 <= grace_minutes <= MOST_GRACE
    ):
        raise BadCalendar
    return made


def moment(day: date, at: time, zone: tzinfo) -> datetime:
    """When a clock in the zone shows this time on this day, or skips it; the first time, in UTC."""
    wanted = datetime.combine(day, at)
    latest = wanted.replace(tzinfo=zone).astimezone(UTC)
    if latest.astimezone(zone).replace(tzinfo=None) == wanted:
        return latest
    # Left out: by the clock before the change it is `latest`, by the one after it was `earliest`.
    earliest = wanted.replace(tzinfo=zone, fold=1).astimezone(UTC)

    def shows_later(seconds: int) -> bool:
        shown = (earliest + seconds * _SECOND).astimezone(zone)
        return shown.replace(tzinfo=None) >= wanted

    between = range((latest - earliest) // _SECOND)
    return earliest + bisect_left(between, True, key=shows_later) * _SECOND


def runs(
    of: ScheduleCalendar, zone: tzinfo, device_id: DeviceId, *, since: datetime
) -> Iterator[Run]:
    """All that begin after `since`, the next first; there is no last."""
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

    Until the slot `done` all had their run, also if by this calendar theirs were yet to come. If
    that is far ahead, a clock was wrong.
    """
    known = done if done is not None and done <= now + _DAY else now - _EARLIER
    return next(run.at for run in runs(of, zone, device_id, since=now) if run.slot > known)


def missed(
    of: ScheduleCalendar, zone: tzinfo, device_id: DeviceId, *, due: datetime, now: datetime
) -> list[Run]:
    """The run that was due, and all those after it that should have begun by now.

    The clocks of a zone may be changed otherwise than was known when the run was timed: then it is
    the one nearest to it.
    """
    around = runs(of, zone, device_id, since=due - _NEAR)
    near = takewhile(lambda run: run.at <= due + _NEAR, around)
    nearest = min(near, key=lambda run: abs(run.at - due), default=Run(due, due))
    begun = takewhile(lambda run: run.at <= now, runs(of, zone, device_id, since=due))
    return [Run(nearest.slot, due), *(run for run in begun if run.slot > nearest.slot)]


def _time(written: str) -> time:
    try:
        made = time.fromisoformat(written)
    except ValueError:
        raise BadCalendar from None
    if written != f"{made:%H:%M}":
        raise BadCalendar
    return made


def _slots(of: ScheduleCalendar, zone: tzinfo, day: date) -> Iterator[tuple[date, datetime]]:
    """The times from a day on as moments. Those that are the same one are one."""
    times = [_time(one) for one in of.at]
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
    """Less than so many seconds, the same ones for a scale on a day; spread evenly over scales."""
    return seconds * uuid5(device_id, f"spread {day}").int >> 128
