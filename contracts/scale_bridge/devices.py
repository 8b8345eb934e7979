"""Events about scales: registration, profile, verification and validation overrides.

A device has two nested values. A new field of a device is a field of one of them, with a default:
`DeviceDetails`, if the service needs it to reach the scale, else `DeviceProfile`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Final, NewType, TypeAlias
from uuid import UUID

DEVICES: Final = "scale-bridge.device"

DeviceId = NewType("DeviceId", UUID)

_Data: TypeAlias = dict[str, Any]
_Upcasts: TypeAlias = Mapping[int, Callable[[_Data], _Data]]

# The fields of version 1: nothing is added to them.
_DETAILS_OF_VERSION_1: Final = (
    "name",
    "description",
    "ip",
    "port",
    "protocol",
    "password",
    "bridge",
)
_PROFILE_OF_VERSION_1: Final = (
    "shop",
    "group",
    "price_list",
    "model",
    "serial_number",
    "next_verification",
)


def _with_nested_details(data: _Data) -> _Data:
    """Version 2: the fields of the details, which stood beside the others, are one value."""
    return _nested(data, "details", _DETAILS_OF_VERSION_1)


def _with_nested_profile(data: _Data) -> _Data:
    """Version 2: the fields of the profile, which stood beside the others, are one value."""
    return _nested(data, "profile", _PROFILE_OF_VERSION_1)


def _nested(data: _Data, name: str, fields: tuple[str, ...]) -> _Data:
    others = {field: value for field, value in data.items() if field not in fields}
    return others | {name: {field: data[field] for field in fields}}


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceDetails:
    """How a scale is named and reached. `password` is sealed.

    `bridge` is the agent that connects to it, None if the service itself does.
    """

    name: str
    description: str
    ip: str
    port: int
    protocol: str
    password: str
    bridge: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfile:
    """What the owner says about a scale; an empty text is unknown.

    `model` determines its limits. The next verification is due on the day `next_verification`.
    """

    shop: str = ""
    group: str = ""
    price_list: str = ""
    model: str = ""
    serial_number: str = ""
    next_verification: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRegistered:
    """A scale was registered. `owner` is an account, `number` its id for clients."""

    schema_version: ClassVar[int] = 2
    upcasts: ClassVar[_Upcasts] = {1: _with_nested_details}
    device_id: DeviceId
    number: int
    owner: UUID
    details: DeviceDetails
    registered_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceChanged:
    """A scale was changed. The event has all details."""

    schema_version: ClassVar[int] = 2
    upcasts: ClassVar[_Upcasts] = {1: _with_nested_details}
    device_id: DeviceId
    details: DeviceDetails
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRemoved:
    """A scale was removed."""

    device_id: DeviceId
    removed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfiled:
    """The profile of a scale was set. The event has all of it."""

    schema_version: ClassVar[int] = 2
    upcasts: ClassVar[_Upcasts] = {1: _with_nested_profile}
    device_id: DeviceId
    profile: DeviceProfile
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
