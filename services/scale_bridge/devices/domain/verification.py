"""Reminders of the next verification of a scale (SCL-14)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID, uuid5

from contracts.scale_bridge import DeviceId, ScaleBridgeEvent, VerificationDue

DAYS: Final = (30, 7, 0)
"""The days before the verification on which a reminder is due."""
EARLIEST: Final = max(DAYS)

Reminder: TypeAlias = tuple[date, int]
"""The day of the verification, and the number of days before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remind:
    """Announce the verification on `due_on`, if that is still its day.

    `today` is in the time zone of the service.
    """

    device_id: DeviceId
    due_on: date
    today: date
    now: datetime


def days_left(due_on: date | None, today: date) -> int | None:
    """The days until the verification, negative after it; None if its day is unknown."""
    return None if due_on is None else (due_on - today).days


def nearest(due_on: date, today: date) -> int | None:
    """The reminder that is due today, in days before the verification; None if no reminder is due.

    If several are late, the one nearest to the verification."""
    left = (due_on - today).days
    return min((days for days in DAYS if left <= days), default=None)


def reminded(
    due_on: date | None, reminded_of: Collection[Reminder], command: Remind
) -> list[ScaleBridgeEvent]:
    """The announcement, unless this reminder, or a later one for the same day, was announced."""
    days = nearest(command.due_on, command.today)
    if due_on != command.due_on or days is None:
        return []
    if any((due_on, number) in reminded_of for number in DAYS if number <= days):
        return []
    return [
        VerificationDue(
            device_id=command.device_id,
            due_on=command.due_on,
            days=days,
            announced_at=command.now,
        )
    ]


def reminder_id(device_id: DeviceId, due_on: date, days: int) -> UUID:
    """The id of the command that announces a reminder, the same for every worker."""
    return uuid5(device_id, f"verification {due_on.isoformat()} {days}")
