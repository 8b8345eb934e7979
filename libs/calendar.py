"""Calendars: times of day on weekdays in a time zone, also when its clocks change.

A time that the clocks leave out is the first moment after the gap; one that they show twice is the
first of both. A run begins a little after its time, before the next one: the delay follows from its
key and the day, so many runs are spread, and a restart changes nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise, takewhile
from typing import Final, Protocol
from uuid import UUID, uuid5

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_NEAR: Final = timedelta(hours=3)
_EARLIER: Final = timedelta(days=2)
"""Runs of earlier days are over: the spread and a change of clocks take less."""


class Calendar(Protocol):
    """Times of day (`HH:MM`, ascending, at least one) on some `WEEKDAYS`, at least one.

    Runs begin up to `jitter_minutes` later.
    """

    @property
    def at(self) -> Sequence[str]: ...
    @property
    def weekdays(self) -> Sequence[str]: ...
    @property
    def jitter_minutes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Run:
    """A time of the calendar as a moment (`slot`), and when its run begins (`at`); both in UTC."""

    slot: datetime
    at: datetime


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


def runs(of: Calendar, zone: tzinfo, key: UUID, *, since: datetime) -> Iterator[Run]:
    """The runs of a key that begin after `since`, in order, without end."""
    first = (since - _EARLIER).astimezone(zone).date()
    for (day, slot), (_, later) in pairwise(_slots(of, zone, first)):
        spread = min(timedelta(minutes=of.jitter_minutes), later - slot)
        at = slot + _share(key, day, spread // _SECOND) * _SECOND
        if at > since:
            yield Run(slot, at)


def next_run(
    of: Calendar,
    zone: tzinfo,
    key: UUID,
    *,
    now: datetime,
    done: datetime | None = None,
) -> datetime:
    """When the next run begins, strictly after `now`.

    All slots up to `done` have had their run, also by an earlier calendar. A `done` far in the
    future is ignored: a clock was wrong.
    """
    known = done if done is not None and done <= now + _DAY else now - _EARLIER
    return next(run.at for run in runs(of, zone, key, since=now) if run.slot > known)


def missed(of: Calendar, zone: tzinfo, key: UUID, *, due: datetime, now: datetime) -> list[Run]:
    """The run that was due at `due`, and all later ones that should have begun by now.

    If the rules of the zone changed since the run was timed, it is the run nearest to `due`.
    """
    around = runs(of, zone, key, since=due - _NEAR)
    near = takewhile(lambda run: run.at <= due + _NEAR, around)
    nearest = min(near, key=lambda run: abs(run.at - due), default=Run(due, due))
    begun = takewhile(lambda run: run.at <= now, runs(of, zone, key, since=due))
    return [Run(nearest.slot, due), *(run for run in begun if run.slot > nearest.slot)]


def time_of_day(text: str) -> time:
    """A time of day from `HH:MM`. Raises ValueError."""
    with suppress(ValueError):
        value = time.fromisoformat(text)
        if text == f"{value:%H:%M}":
            return value
    raise ValueError(f"not a time of day: {text!r}")


def _slots(of: Calendar, zone: tzinfo, day: date) -> Iterator[tuple[date, datetime]]:
    """The times from a day on as moments, without repetitions."""
    times = [time_of_day(text) for text in of.at]
    last = None
    while True:
        if WEEKDAYS[day.weekday()] in of.weekdays:
            for at in times:
                slot = moment(day, at, zone)
                if slot != last:
                    yield day, slot
                last = slot
        day += _DAY


def _share(key: UUID, day: date, seconds: int) -> int:
    """A delay below `seconds`: fixed for a key and a day, spread evenly over keys."""
    return seconds * uuid5(key, f"spread {day}").int >> 128
