"""Notifications, and when the important dates of customers are due (spec shop §2.4, §3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from contracts.shop import NotificationRequested, ShopEvent
from libs.eventsourcing.decider import Decider
from services.shop.customers.domain.person import ImportantDate

ROLES: Final = ("admin", "manager")
REMIND_AT: Final = time(9)
"""The time of day of reminders, in the shop's zone."""


@dataclass(frozen=True, slots=True)
class RequestNotification:
    """Request a notification, unless it was requested before."""

    notification: NotificationRequested


def decide(is_requested: bool, command: RequestNotification) -> list[ShopEvent]:
    """See `Decider`."""
    return [] if is_requested else [command.notification]


def evolve(_: bool, event: ShopEvent) -> bool:
    """See `Decider`."""
    return isinstance(event, NotificationRequested)


NOTIFICATION: Final[Decider[bool, RequestNotification, ShopEvent]] = Decider(
    category="notification", initial=False, decide=decide, evolve=evolve
)
"""A notification by its id. Its state says whether it was requested."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """That a date comes round in `year`; it is due `at`, which may be past for a new date."""

    date_id: int
    year: int
    at: datetime


def next_reminder(important: ImportantDate, after: datetime, zone: ZoneInfo) -> Reminder | None:
    """The reminder of the next occurrence, on the day of `after` or later, that had none yet.

    None if the date is none, such as `13-01`. 29 February is 28 February in other years.
    """
    today = after.astimezone(zone).date()
    year = max(today.year, (important.last_reminded_year or 0) + 1)
    for candidate in (year, year + 1):
        day = _day(important.date, candidate)
        if day is None:
            return None
        if day >= today:
            first = day - timedelta(days=important.remind_days_before)
            at = datetime.combine(first, REMIND_AT, zone)
            return Reminder(important.date_id, candidate, at)
    return None


def reminders(dates: Iterable[ImportantDate], after: datetime, zone: ZoneInfo) -> list[Reminder]:
    """The next reminder of each date, the first one first."""
    found = (next_reminder(one, after, zone) for one in dates)
    return sorted((one for one in found if one is not None), key=lambda one: one.at)


def _day(text: str, year: int) -> date | None:
    month, _, day = text.partition("-")
    try:
        return date(year, int(month), int(day))
    except ValueError:
        return date(year, 2, 28) if text == "02-29" else None
