"""The profile of a scale: shop, group, price list, model, serial number, verification (SCL-1)."""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final

from contracts.scale_bridge import DeviceId, DeviceProfiled, ScaleBridgeEvent
from libs.errors import Unfit
from services.scale_bridge.catalogue.domain.model import MODELS


class ModelUnknown(Unfit):
    """There is no such model in the table of models."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The profile; an empty text means unknown."""

    shop: str = ""
    group: str = ""
    price_list: str = ""
    model: str = ""
    serial_number: str = ""
    next_verification: date | None = None


UNKNOWN: Final = Profile()


@dataclass(frozen=True, kw_only=True, slots=True)
class SetProfile:
    """Replace the profile."""

    device_id: DeviceId
    profile: Profile
    profiled_by: str
    now: datetime


def profiled(profile: Profile, command: SetProfile) -> list[ScaleBridgeEvent]:
    """The event of a new profile; nothing if it is the same. Raises ModelUnknown."""
    new = command.profile
    if new.model not in MODELS:
        raise ModelUnknown
    if new == profile:
        return []
    return [
        DeviceProfiled(
            device_id=command.device_id,
            profiled_by=command.profiled_by,
            profiled_at=command.now,
            **_fields(new),
        )
    ]


def profile_of(event: DeviceProfiled) -> Profile:
    """The profile in an event."""
    return Profile(**_fields(event))


def _fields(source: Profile | DeviceProfiled) -> dict[str, Any]:
    """The fields of `Profile`, which the event has by the same names."""
    return {field.name: getattr(source, field.name) for field in fields(Profile)}
