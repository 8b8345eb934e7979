"""Events about scales: registration, profile, verification and validation overrides."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NewType
from uuid import UUID

DEVICES: Final = "scale-bridge.device"

DeviceId = NewType("DeviceId", UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRegistered:
    """A scale was registered. `password` is sealed, `owner` is an account.

    `number` is its id for clients. `bridge` is the agent that connects to it, None if the service
    itself does.
    """

    device_id: DeviceId
    number: int
    owner: UUID
    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None
    registered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChanged:
    """A scale was changed. The event has all fields that may change; `password` is sealed."""

    device_id: DeviceId
    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRemoved:
    """A scale was removed."""

    device_id: DeviceId
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfiled:
    """The profile of a scale was set. The event has all of its fields; an empty text is unknown.

    `model` determines its limits. The next verification is due on the day `next_verification`.
    """

    device_id: DeviceId
    shop: str
    group: str
    price_list: str
    model: str
    serial_number: str
    next_verification: date | None
    profiled_by: str
    profiled_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationDue:
    """The scale must be verified on `due_on`, in at most `days` days; 0 is today or overdue."""

    device_id: DeviceId
    due_on: date
    days: int
    announced_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StrictnessSet:
    """The validation rules that reads of this scale may break were set, replacing earlier ones.

    Rules: chunks, hash, unique_keys, finite_numbers, unique_plus.
    """

    device_id: DeviceId
    relaxed: tuple[str, ...]
    reason: str
    set_by: str
    set_at: datetime
