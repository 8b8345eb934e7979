"""The calendar of a scale: runs at times of day in a shop's zone (SCL-5)."""

from collections.abc import Collection
from typing import Final

from contracts.scale_bridge import ScheduleCalendar
from libs.calendar import WEEKDAYS, time_of_day
from libs.errors import Unfit

MOST_TIMES: Final = 24
MOST_JITTER: Final = 120
MOST_GRACE: Final = 1440
GRACE: Final = 15
RUN: Final = "run"
SKIP: Final = "skip"


class BadCalendar(Unfit):
    """A calendar has 1 to 24 times of day as HH:MM, weekdays, and bounds for jitter and grace."""


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
    try:
        times = tuple(sorted({f"{time_of_day(text):%H:%M}" for text in at}))
    except ValueError:
        raise BadCalendar from None
    checked = ScheduleCalendar(
        at=times,
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
