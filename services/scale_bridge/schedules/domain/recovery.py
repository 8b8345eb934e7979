"""Recovery policy: the next action for a scale that is out of date or silent (SCL-9).

One upload brings a scale to its present catalogue, however much it missed. Pauses grow with every
failure and differ between scales.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.scale_bridge.monitoring.domain import UNREACHABLE
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED, Kind

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
"""Codes of operations that would fail again: a person has to act first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryRules:
    """The pauses of recovery, `first` to `longest`; scales not read for `idle` are read, if set."""

    first: timedelta = timedelta(seconds=15)
    longest: timedelta = timedelta(minutes=15)
    idle: timedelta | None = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PastOperation:
    """An operation that has ended."""

    kind: str
    outcome: str
    code: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The facts about a scale that recovery decides on.

    `valid`: a catalogue was read from its present address. `dirty`: it has not confirmed the
    present revision, `unsent` because of a price or of dates. `tried` is the last operation that
    reached for the scale, `transfer` the last upload, refresh or verify, failed ones included.
    `read_at` is its last complete read, `silent_at` the last time it did not answer. `failures` are
    counted since it last showed its catalogue. `ended_at` is the end of the last operation of all.
    """

    device_id: UUID
    valid: bool = False
    dirty: bool = False
    unsent: bool = False
    tried: PastOperation | None = None
    transfer: PastOperation | None = None
    read_at: datetime | None = None
    silent_at: datetime | None = None
    failures: int = 0
    ended_at: datetime | None = None


def next_action(health: Health, now: datetime, rules: RecoveryRules) -> Kind | None:
    """The kind of operation that the scale needs now, if any."""
    tried = health.tried
    if tried is not None and tried.code in HOPELESS:
        return None
    if health.ended_at is not None and now - health.ended_at < _pause(health, rules):
        return None
    if tried is not None and tried.code in UNREACHABLE:
        return Kind.PROBE
    if is_owed(health):
        return Kind.UPLOAD
    if _came_back(health):
        return Kind.VERIFY
    return _idle(health, now, rules)


def next_change(health: Health, now: datetime, rules: RecoveryRules) -> datetime | None:
    """The first moment after `now` at which time alone may change the next action."""
    moments = []
    if health.ended_at is not None:
        moments.append(health.ended_at + _pause(health, rules))
    if rules.idle is not None and health.read_at is not None:
        moments.append(health.read_at + _jittered(health, rules.idle))
    return min((moment for moment in moments if moment > now), default=None)


def is_owed(health: Health) -> bool:
    """Whether the scale needs an upload that is likely to succeed.

    Edits of a person that were never sent are not owed.
    """
    transfer = health.transfer
    if not health.valid or not health.dirty:
        return False
    if transfer is not None and transfer.code in HOPELESS:
        return False
    return health.unsent or (transfer is not None and transfer.outcome not in SUCCEEDED)


def _came_back(health: Health) -> bool:
    """Whether the scale was silent since its last read: a loss of power may have changed it."""
    silent, read = health.silent_at, health.read_at
    return health.valid and silent is not None and (read is None or read < silent)


def _idle(health: Health, now: datetime, rules: RecoveryRules) -> Kind | None:
    if rules.idle is None or not health.valid:
        return None
    read = health.read_at
    return Kind.VERIFY if read is None or now - read >= _jittered(health, rules.idle) else None


def _pause(health: Health, rules: RecoveryRules) -> timedelta:
    """The pause after the last operation, with growing length after failures."""
    tried = health.tried
    if health.failures == 0:
        missed = tried is None or tried.at != health.ended_at
        return rules.first if missed else timedelta(0)
    doubled = rules.first * 2 ** min(health.failures - 1, 16)
    return _jittered(health, min(doubled, rules.longest))


def _jittered(health: Health, wait: timedelta) -> timedelta:
    """A duration up to a quarter longer, by a share that is fixed for a scale."""
    return wait * (1 + health.device_id.int % 1009 / 1009 / 4)
