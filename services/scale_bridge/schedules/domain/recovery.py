"""Recovery policy: the next action for a scale that is out of date or silent (SCL-9).

Straight to what it shall show now: there is one upload, however much it missed. The more often it
failed, the longer it is left alone, and not all scales of a shop are asked at the same moment.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.scale_bridge.monitoring.domain import UNREACHABLE, WENT_WELL
from services.scale_bridge.transfer.domain.kinds import Kind

HOPELESS: Final = frozenset(
    {
        "WrongPassword",
        "ImportFailed",
        "ScaleRefused",
        "BadCatalogue",
        "NothingCached",
        "SecretUnreadable",
        "BadAddress",
        "DeviceUnknown",
    }
)
"""Codes after which the same would happen again: a person has to act first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How patient it is. Without `idle` a scale that seems well is not read."""

    first: timedelta = timedelta(seconds=15)
    longest: timedelta = timedelta(minutes=15)
    idle: timedelta | None = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """The last operation of some kind."""

    kind: str
    outcome: str
    code: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What is known of a scale.

    `dirty` if it is not known to show what it shall, `unsent` if that is by a price or by dates
    that it never confirmed. `tried` is the last that was done with it in earnest, `transfer` the
    last upload, refresh or verify; both also failed ones. `read_at` is when it was last read to
    the end, `silent_at` when it last did not answer. `failures` counts what failed since it last
    showed what it shall. `ended_at` is when anything ended last, also what never came to the scale.
    """

    device_id: UUID
    valid: bool = False
    dirty: bool = False
    unsent: bool = False
    tried: Last | None = None
    transfer: Last | None = None
    read_at: datetime | None = None
    silent_at: datetime | None = None
    failures: int = 0
    ended_at: datetime | None = None


def next_action(health: Health, now: datetime, rules: Rules) -> Kind | None:
    """What to do with the scale now, if anything."""
    tried = health.tried
    if tried is not None and tried.code in HOPELESS:
        return None
    if health.ended_at is not None and now - health.ended_at < _patience(health, rules):
        return None
    if tried is not None and tried.code in UNREACHABLE:
        return Kind.PROBE
    if is_owed(health):
        return Kind.UPLOAD
    if _came_back(health):
        return Kind.VERIFY
    return _idle(health, now, rules)


def next_change(health: Health, now: datetime, rules: Rules) -> datetime | None:
    """When the next action may become another by time alone, the first moment after `now`."""
    moments = []
    if health.ended_at is not None:
        moments.append(health.ended_at + _patience(health, rules))
    if rules.idle is not None and health.read_at is not None:
        moments.append(health.read_at + _jittered(health, rules.idle))
    return min((moment for moment in moments if moment > now), default=None)


def is_owed(health: Health) -> bool:
    """Whether an update of the scale is outstanding that nothing prevents.

    What a person edited and did not send yet is not owed.
    """
    transfer = health.transfer
    if not health.valid or not health.dirty:
        return False
    if transfer is not None and transfer.code in HOPELESS:
        return False
    return health.unsent or (transfer is not None and transfer.outcome not in WENT_WELL)


def _came_back(health: Health) -> bool:
    """Whether it was silent since it was last read: without power it may have forgotten."""
    silent, read = health.silent_at, health.read_at
    return health.valid and silent is not None and (read is None or read < silent)


def _idle(health: Health, now: datetime, rules: Rules) -> Kind | None:
    if rules.idle is None or not health.valid:
        return None
    read = health.read_at
    return Kind.VERIFY if read is None or now - read >= _jittered(health, rules.idle) else None


def _patience(health: Health, rules: Rules) -> timedelta:
    """How long it is left alone after the last that was done with it, or was to be done."""
    tried = health.tried
    if health.failures == 0:
        missed = tried is None or tried.at != health.ended_at
        return rules.first if missed else timedelta(0)
    doubled = rules.first * 2 ** min(health.failures - 1, 16)
    return _jittered(health, min(doubled, rules.longest))


def _jittered(health: Health, wait: timedelta) -> timedelta:
    """Up to a quarter longer, for each scale another quarter."""
    return wait * (1 + health.device_id.int % 1009 / 1009 / 4)
