"""The device aggregate: a scale as its owner registered it, with its details and its profile.

Validation overrides and reminders of the verification are on the same stream. The modules
`validation_overrides` and `verification` decide on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from contracts.scale_bridge import (
    DeviceChanged,
    DeviceDetails,
    DeviceId,
    DeviceProfile,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    ScaleBridgeEvent,
    StrictnessSet,
    VerificationDue,
)
from libs.errors import NotFound, Refused, Unfit
from libs.eventsourcing.decider import Decider
from services.scale_bridge.catalogue.domain.model import MODELS
from services.scale_bridge.devices.domain.validation_overrides import (
    NO_OVERRIDES,
    SetStrictness,
    ValidationOverrides,
    overrides_of,
    set_overrides,
)
from services.scale_bridge.devices.domain.verification import Remind, Reminder, reminded

UNKNOWN: Final = DeviceProfile()
_NUMBERED: Final = UUID("6b1c7f1e-6f0a-4c53-9d8e-0b6f5a3c2d41")


class DeviceUnknown(NotFound):
    """Device not found"""


class DeviceKnown(Refused):
    """There is a device with this number."""


class ModelUnknown(Unfit):
    """There is no such model in the table of models."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The state of a device; without `details` it was never registered.

    `reminded_of` are the announced reminders.
    """

    number: int = 0
    owner: UUID | None = None
    details: DeviceDetails | None = None
    removed: bool = False
    profile: DeviceProfile = UNKNOWN
    overrides: ValidationOverrides = NO_OVERRIDES
    reminded_of: frozenset[Reminder] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Register:
    """Register a device."""

    device_id: DeviceId
    number: int
    owner: UUID
    details: DeviceDetails
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Replace the details."""

    device_id: DeviceId
    details: DeviceDetails
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Remove the device."""

    device_id: DeviceId
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SetProfile:
    """Set these fields of the profile, by name."""

    device_id: DeviceId
    fields: Mapping[str, Any]
    profiled_by: str
    now: datetime


Description: TypeAlias = SetProfile | SetStrictness | Remind
DeviceCommand: TypeAlias = Register | Change | Remove | Description


def device_id_of(number: int) -> DeviceId:
    """The id of the device with this number."""
    return DeviceId(uuid5(_NUMBERED, str(number)))


def details_of(device: Device) -> DeviceDetails:
    """The details of a registered device. Raises DeviceUnknown."""
    if device.details is None or device.removed:
        raise DeviceUnknown
    return device.details


def moves(before: DeviceDetails, after: DeviceDetails) -> bool:
    """Whether the address changes, so that the scale may be another one (R9)."""
    return (before.ip, before.port) != (after.ip, after.port)


def decide(device: Device, command: DeviceCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`. Raises DeviceKnown, DeviceUnknown, and the refusals of the profile modules."""
    match command:
        case Register() if device.details is not None:
            raise DeviceKnown
        case Register():
            registered = DeviceRegistered(
                device_id=command.device_id,
                number=command.number,
                owner=command.owner,
                details=command.details,
                registered_at=command.now,
            )
            return [registered]
        case Remove() if device.removed:
            return []
        case Remove(device_id=device_id, now=now):
            details_of(device)
            return [DeviceRemoved(device_id=device_id, removed_at=now)]
        case Change(details=details) if details == details_of(device):
            return []
        case Change(device_id=device_id, details=details, now=now):
            return [DeviceChanged(device_id=device_id, details=details, changed_at=now)]
        case SetProfile() | SetStrictness() | Remind():
            details_of(device)
            return _described(device, command)
        case _:
            assert_never(command)


def _described(device: Device, command: Description) -> list[ScaleBridgeEvent]:
    match command:
        case SetProfile():
            return _profiled(device.profile, command)
        case SetStrictness():
            return set_overrides(device.overrides, command)
        case Remind():
            return reminded(device.profile.next_verification, device.reminded_of, command)
        case _:
            assert_never(command)


def _profiled(profile: DeviceProfile, command: SetProfile) -> list[ScaleBridgeEvent]:
    new = replace(profile, **command.fields)
    if new.model not in MODELS:
        raise ModelUnknown
    if new == profile:
        return []
    return [
        DeviceProfiled(
            device_id=command.device_id,
            profile=new,
            profiled_by=command.profiled_by,
            profiled_at=command.now,
        )
    ]


def evolve(device: Device, event: ScaleBridgeEvent) -> Device:
    """See `Decider`."""
    match event:
        case DeviceRegistered(number=number, owner=owner, details=details):
            return Device(number=number, owner=owner, details=details)
        case DeviceChanged(details=details):
            return replace(device, details=details)
        case DeviceRemoved():
            return replace(device, removed=True)
        case DeviceProfiled(profile=profile):
            return replace(device, profile=profile)
        case StrictnessSet():
            return replace(device, overrides=overrides_of(event))
        case VerificationDue(due_on=due_on, days=days):
            return replace(device, reminded_of=device.reminded_of | {(due_on, days)})
        case _:
            # Catalogues, operations and schedules have streams of their own.
            return device


DEVICE: Final = Decider(category="device", initial=Device(), decide=decide, evolve=evolve)
