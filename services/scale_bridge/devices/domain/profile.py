"""The profile of a scale: shop, group, price list, model, serial number, verification (SCL-1)."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

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
            shop=new.shop,
            group=new.group,
            price_list=new.price_list,
            model=new.model,
            serial_number=new.serial_number,
            next_verification=new.next_verification,
            profiled_by=command.profiled_by,
            profiled_at=command.now,
        )
    ]


def profile_of(event: DeviceProfiled) -> Profile:
    """The profile in an event."""
    return Profile(
        shop=event.shop,
        group=event.group,
        price_list=event.price_list,
        model=event.model,
        serial_number=event.serial_number,
        next_verification=event.next_verification,
    )
