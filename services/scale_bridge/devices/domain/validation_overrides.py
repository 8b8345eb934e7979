"""Validation rules (R5) that are switched off for one device, with author and reason."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from contracts.scale_bridge import DeviceId, ScaleBridgeEvent, StrictnessSet
from libs.errors import Unfit
from services.scale_bridge.driver.domain.document import Strictness

RULES: Final = tuple(field.name for field in fields(Strictness))


class RuleUnknown(Unfit):
    """There is no such rule."""


class ReasonMissing(Unfit):
    """A reason is required."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationOverrides:
    """The relaxed rules, with author, time and reason of the last change."""

    relaxed: frozenset[str] = frozenset()
    reason: str = ""
    set_by: str | None = None
    set_at: datetime | None = None

    @property
    def strictness(self) -> Strictness:
        """The rules that apply; an unknown relaxed rule is ignored."""
        return Strictness(**{name: name not in self.relaxed for name in RULES})


NO_OVERRIDES: Final = ValidationOverrides()


@dataclass(frozen=True, kw_only=True, slots=True)
class SetStrictness:
    """Relax exactly these rules, from the next operation on."""

    device_id: DeviceId
    relaxed: Collection[str]
    reason: str
    set_by: str
    now: datetime


def set_overrides(before: ValidationOverrides, command: SetStrictness) -> list[ScaleBridgeEvent]:
    """The event of new overrides, if they differ. Raises RuleUnknown, ReasonMissing."""
    if not set(command.relaxed) <= set(RULES):
        raise RuleUnknown
    reason = command.reason.strip()
    if not reason:
        raise ReasonMissing
    relaxed = frozenset(command.relaxed)
    if (relaxed, reason) == (before.relaxed, before.reason):
        return []
    return [
        StrictnessSet(
            device_id=command.device_id,
            relaxed=tuple(name for name in RULES if name in relaxed),
            reason=reason,
            set_by=command.set_by,
            set_at=command.now,
        )
    ]


def overrides_of(event: StrictnessSet) -> ValidationOverrides:
    """The overrides in an event."""
    return ValidationOverrides(
        relaxed=frozenset(event.relaxed),
        reason=event.reason,
        set_by=event.set_by,
        set_at=event.set_at,
    )
