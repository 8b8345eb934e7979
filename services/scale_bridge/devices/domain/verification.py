"""When a scale has to be verified again, and when to remind of it (SCL-14)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID, uuid5

from contracts.scale_bridge import DeviceId, ScaleBridgeEvent, VerificationDue

DAYS: Final = (30, 7, 0)
"""So many days before, one reminder each."""
SOONEST: Final = max(DAYS)

Reminder: TypeAlias = tuple[date, int]
"""The day, and how many days before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remind:
    """Announce that it has to be verified on `due_on`, if that is still so and was not announced.

    `today` is in the zone of the shop.
    """

    device_id: DeviceId
    due_on: date
    today: date
    now: datetime


def days_left(due_on: date | None, today: date) -> int | None:
    """How many days are left, less than 0 after the day; None if no day is known."""
    return None if due_on is None else (due_on - today).days


def nearest(due_on: date, today: date) -> int | None:
    """Which reminder is the one for today: of those that are late only the last counts."""
    left = (due_on - today).days
    return min((days for days in DAYS if left <= days), default=None)


def reminded(
    due_on: date | None, reminded_of: Collection[Reminder], command: Remind
) -> list[ScaleBridgeEvent]:
    """The announcement, unless it was made, or a later one of the same day."""
    days = nearest(command.due_on, command.today)
    if due_on != command.due_on or days is None:
        return []
    if any((due_on, each) in reminded_of for each in DAYS if each <= days):
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
    """The command that announces it, with the same id for every worker."""
    return uuid5(device_id, f"verification {due_on.isoformat()} {days}")
