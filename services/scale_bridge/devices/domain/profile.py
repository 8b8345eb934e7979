"""What a scale is: where it stands, which price list it follows, which model it is (SCL-1)."""

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
    """An empty text means unknown."""

    shop: str = ""
    group: str = ""
    price_list: str = ""
    model: str = ""
    serial_number: str = ""
    next_verification: date | None = None


UNKNOWN: Final = Profile()


@dataclass(frozen=True, kw_only=True, slots=True)
class SetProfile:
    """Let it be like this from now on."""

    device_id: DeviceId
    profile: Profile
    profiled_by: str
    now: datetime


def profiled(profile: Profile, command: SetProfile) -> list[ScaleBridgeEvent]:
    """Raises ModelUnknown."""
    told = command.profile
    if told.model not in MODELS:
        raise ModelUnknown
    if told == profile:
        return []
    return [
        DeviceProfiled(
            device_id=command.device_id,
            shop=told.shop,
            group=told.group,
            price_list=told.price_list,
            model=told.model,
            serial_number=told.serial_number,
            next_verification=told.next_verification,
            profiled_by=command.profiled_by,
            profiled_at=command.now,
        )
    ]


def profile_of(event: DeviceProfiled) -> Profile:
    """The profile it tells of."""
    return Profile(
        shop=event.shop,
        group=event.group,
        price_list=event.price_list,
        model=event.model,
        serial_number=event.serial_number,
        next_verification=event.next_verification,
    )
