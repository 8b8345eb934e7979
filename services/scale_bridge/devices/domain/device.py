"""The device aggregate: a scale as its owner registered it, with address and sealed password.

Profile, validation overrides and reminders of the verification are on the same stream. The modules
`profile`, `validation_overrides` and `verification` decide on them.
"""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID, uuid5

from contracts.scale_bridge import (
    DeviceChanged,
    DeviceId,
    DeviceProfiled,
    DeviceRegistered,
    DeviceRemoved,
    ScaleBridgeEvent,
    StrictnessSet,
    VerificationDue,
)
from libs.errors import NotFound, Refused
from libs.eventsourcing.decider import Decider
from services.scale_bridge.devices.domain.profile import (
    UNKNOWN,
    Profile,
    SetProfile,
    profile_of,
    profiled,
)
from services.scale_bridge.devices.domain.validation_overrides import (
    NO_OVERRIDES,
    SetStrictness,
    ValidationOverrides,
    overrides_of,
    set_overrides,
)
from services.scale_bridge.devices.domain.verification import Remind, Reminder, reminded

TCP: Final = "TCP"
_NUMBERED: Final = UUID("6b1c7f1e-6f0a-4c53-9d8e-0b6f5a3c2d41")


class DeviceUnknown(NotFound):
    """Device not found"""


class DeviceKnown(Refused):
    """There is a device with this number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """The fields that may change. `password` is sealed, `bridge` is the agent of the device."""

    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The state of a device; without `details` it was never registered.

    `reminded_of` are the announced reminders.
    """

    number: int = 0
    owner: UUID | None = None
    details: Details | None = None
    removed: bool = False
    profile: Profile = UNKNOWN
    overrides: ValidationOverrides = NO_OVERRIDES
    reminded_of: frozenset[Reminder] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Register:
    """Register a device."""

    device_id: DeviceId
    number: int
    owner: UUID
    details: Details
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Replace the details."""

    device_id: DeviceId
    details: Details
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Remove the device."""

    device_id: DeviceId
    now: datetime


Description: TypeAlias = SetProfile | SetStrictness | Remind
DeviceCommand: TypeAlias = Register | Change | Remove | Description


def device_id_of(number: int) -> DeviceId:
    """The id of the device with this number."""
    return DeviceId(uuid5(_NUMBERED, str(number)))


def details_of(device: Device) -> Details:
    """The details of a registered device. Raises DeviceUnknown."""
    if device.details is None or device.removed:
        raise DeviceUnknown
    return device.details


def moves(before: Details, after: Details) -> bool:
    """Whether the address changes, so that the scale may be another one (R9)."""
    return (before.ip, before.port) != (after.ip, after.port)


def decide(device: Device, command: DeviceCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`. Raises DeviceKnown, DeviceUnknown, and the refusals of the profile modules."""
    match command:
        case Register() if device.details is not None:
            raise DeviceKnown
        case Register():
            return [_registered(command)]
        case Remove() if device.removed:
            return []
        case Remove(device_id=device_id, now=now):
            details_of(device)
            return [DeviceRemoved(device_id=device_id, removed_at=now)]
        case Change(details=details) if details == details_of(device):
            return []
        case Change():
            return [_changed(command)]
        case SetProfile() | SetStrictness() | Remind():
            details_of(device)
            return _described(device, command)
        case _:
            assert_never(command)


def _described(device: Device, command: Description) -> list[ScaleBridgeEvent]:
    match command:
        case SetProfile():
            return profiled(device.profile, command)
        case SetStrictness():
            return set_overrides(device.overrides, command)
        case Remind():
            return reminded(device.profile.next_verification, device.reminded_of, command)
        case _:
            assert_never(command)


def _registered(command: Register) -> DeviceRegistered:
    return DeviceRegistered(
        device_id=command.device_id,
        number=command.number,
        owner=command.owner,
        registered_at=command.now,
        **_fields(command.details),
    )


def _changed(command: Change) -> DeviceChanged:
    return DeviceChanged(
        device_id=command.device_id, changed_at=command.now, **_fields(command.details)
    )


def evolve(device: Device, event: ScaleBridgeEvent) -> Device:
    """See `Decider`."""
    match event:
        case DeviceRegistered():
            return Device(number=event.number, owner=event.owner, details=_details(event))
        case DeviceChanged():
            return replace(device, details=_details(event))
        case DeviceRemoved():
            return replace(device, removed=True)
        case DeviceProfiled():
            return replace(device, profile=profile_of(event))
        case StrictnessSet():
            return replace(device, overrides=overrides_of(event))
        case VerificationDue(due_on=due_on, days=days):
            return replace(device, reminded_of=device.reminded_of | {(due_on, days)})
        case _:
            # Catalogues, operations and schedules have streams of their own.
            return device


def _details(event: DeviceRegistered | DeviceChanged) -> Details:
    return Details(**_fields(event))


def _fields(source: Details | DeviceRegistered | DeviceChanged) -> dict[str, Any]:
    """The fields of `Details`, which both events have by the same names."""
    return {field.name: getattr(source, field.name) for field in fields(Details)}


DEVICE: Final = Decider(category="device", initial=Device(), decide=decide, evolve=evolve)
