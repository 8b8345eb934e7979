"""A scale as its owner registered it: where it is, what it is called, and its sealed password.

What it is beside that is on the same stream, and in modules of its own: its profile, the rules that
are relaxed for it, the reminders of its verification.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias, assert_never
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
    """What may change about a device. `password` is sealed, `bridge` the daemon that reaches it."""

    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device as later decisions need it; without `details` it was never registered.

    `reminded_of` are the reminders that were announced.
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
    """Make it known."""

    device_id: DeviceId
    number: int
    owner: UUID
    details: Details
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Let it be like this from now on."""

    device_id: DeviceId
    details: Details
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Forget it."""

    device_id: DeviceId
    now: datetime


Description: TypeAlias = SetProfile | SetStrictness | Remind
DeviceCommand: TypeAlias = Register | Change | Remove | Description


def device_id_of(number: int) -> DeviceId:
    """The id of the device that its clients call `number`."""
    return DeviceId(uuid5(_NUMBERED, str(number)))


def details_of(device: Device) -> Details:
    """What is known of it. Raises DeviceUnknown."""
    if device.details is None or device.removed:
        raise DeviceUnknown
    return device.details


def moves(before: Details, after: Details) -> bool:
    """Whether it may be another scale afterwards (R9)."""
    return (before.ip, before.port) != (after.ip, after.port)


def decide(device: Device, command: DeviceCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`. Raises what the modules of a description raise, too."""
    match command:
        case Register() if device.details is not None:
            raise DeviceKnown
        case Register():
            return [_registered(command)]
        case Remove() if device.removed:
            return []
        case Remove(device_id=of, now=now):
            details_of(device)
            return [DeviceRemoved(device_id=of, removed_at=now)]
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
    told = command.details
    return DeviceRegistered(
        device_id=command.device_id,
        number=command.number,
        owner=command.owner,
        name=told.name,
        description=told.description,
        ip=told.ip,
        port=told.port,
        protocol=told.protocol,
        password=told.password,
        bridge=told.bridge,
        registered_at=command.now,
    )


def _changed(command: Change) -> DeviceChanged:
    told = command.details
    return DeviceChanged(
        device_id=command.device_id,
        name=told.name,
        description=told.description,
        ip=told.ip,
        port=told.port,
        protocol=told.protocol,
        password=told.password,
        bridge=told.bridge,
        changed_at=command.now,
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
    return Details(
        name=event.name,
        description=event.description,
        ip=event.ip,
        port=event.port,
        protocol=event.protocol,
        password=event.password,
        bridge=event.bridge,
    )


DEVICE: Final = Decider(category="device", initial=Device(), decide=decide, evolve=evolve)
