"""Business days: which day a moment falls on, how dates are written and read."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_ISO: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_RUSSIAN: Final = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class BadDate(ValueError):
    """A date cannot be read, or a range is too long; the message is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Days:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The moment the first day begins and the moment the last one is over, in UTC."""
        return _midnight(self.first, zone), _midnight(self.last + timedelta(days=1), zone)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The business day an aware `moment` falls on."""
    # Every scan asks, and nearly always of the day that was asked for last.
    known = _last_asked.get(zone)
    if known is not None and known[0] <= moment < known[1]:
        return known[2]
    day = moment.astimezone(zone).date()
    # At the ends of the calendar there is no midnight before or after.
    with suppress(OverflowError):
        begins, ends = Days(first=day, last=day).instants(zone)
        # Where clocks are changed, a day may go on after the next one has begun.
        if begins.astimezone(zone).utcoffset() == ends.astimezone(zone).utcoffset():
            _last_asked[zone] = (begins, ends, day)
    return day


_last_asked: dict[ZoneInfo, tuple[datetime, datetime, date]] = {}


def parse_day(text: str) -> date:
    """Read `YYYY-MM-DD` or `dd.MM.yyyy`. Raises BadDate."""
    try:
        if iso := _ISO.fullmatch(text):
            return date(int(iso[1]), int(iso[2]), int(iso[3]))
        if russian := _RUSSIAN.fullmatch(text):
            return date(int(russian[3]), int(russian[2]), int(russian[1]))
    except ValueError:
        raise BadDate("there is no such date; write YYYY-MM-DD or dd.MM.yyyy") from None
    raise BadDate("a date must be written YYYY-MM-DD or dd.MM.yyyy")


def days_asked(first: str | None, last: str | None, *, today: date, longest: int) -> Days:
    """The days a question means: today if it says nothing, one day if it says no end.

    An end before the beginning is swapped with it, an end without a beginning ignored. Raises
    BadDate, also for more than `longest` days.
    """
    if not first:
        return Days(first=today, last=today)
    one = parse_day(first)
    other = parse_day(last) if last else one
    days = Days(first=min(one, other), last=max(one, other))
    if len(days) > longest:
        raise BadDate(f"at most {longest} days can be asked for at once")
    return days


def written(moment: datetime, zone: ZoneInfo) -> str:
    """A moment as people here write it: `dd.MM.yyyy HH:mm:ss` in `zone`."""
    local = moment.astimezone(zone)
    date = f"{local.day:02}.{local.month:02}.{local.year:04}"
    return f"{date} {local.hour:02}:{local.minute:02}:{local.second:02}"


def unix_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
