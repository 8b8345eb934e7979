"""Business days: the day of a moment, and how dates and times are parsed and formatted."""

import re
from collections.abc import Iterator
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
    """A date is invalid, or a range is too long; the message is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Days:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The beginning of the first day and the end of the last one, in UTC."""
        return _midnight(self.first, zone), _midnight(self.last + timedelta(days=1), zone)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The business day of an aware `moment`."""
    # Called for every scan, nearly always with the same day as before.
    known = _last_day.get(zone)
    if known is not None and known[0] <= moment < known[1]:
        return known[2]
    day = moment.astimezone(zone).date()
    # At the ends of the calendar there is no midnight before or after.
    with suppress(OverflowError):
        begins, ends = Days(first=day, last=day).instants(zone)
        # On a day when the clock changes, a midnight may come twice.
        if begins.astimezone(zone).utcoffset() == ends.astimezone(zone).utcoffset():
            _last_day[zone] = (begins, ends, day)
    return day


_last_day: dict[ZoneInfo, tuple[datetime, datetime, date]] = {}


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


def parse_days(first: str | None, last: str | None, *, today: date, max_days: int) -> Days:
    """The days from `first` to `last`: today without `first`, one day without `last`.

    The two may be swapped. Without `first`, `last` is ignored. Raises BadDate, also for more than
    `max_days` days.
    """
    if not first:
        return Days(first=today, last=today)
    one = parse_day(first)
    other = parse_day(last) if last else one
    days = Days(first=min(one, other), last=max(one, other))
    if len(days) > max_days:
        raise BadDate(f"at most {max_days} days can be asked for at once")
    return days


def format_time(moment: datetime, zone: ZoneInfo) -> str:
    """The moment as `dd.MM.yyyy HH:mm:ss` in `zone`."""
    local = moment.astimezone(zone)
    date = f"{local.day:02}.{local.month:02}.{local.year:04}"
    return f"{date} {local.hour:02}:{local.minute:02}:{local.second:02}"


def unix_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
