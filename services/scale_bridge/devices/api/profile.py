"""The profile of a scale: shop, group, price list, model, verification (SCL-1, SCL-8, SCL-14)."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from contracts.scale_bridge import DeviceProfile
from services.scale_bridge.catalogue.domain.model import MODELS, limits_of
from services.scale_bridge.catalogue.domain.problems import RuleKind, problems
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    ApiContext,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
)
from services.scale_bridge.devices.domain.validation_overrides import RULES, ValidationOverrides
from services.scale_bridge.devices.domain.verification import days_left
from services.scale_bridge.devices.handlers import device as handler

router = APIRouter(tags=["profile"])
strictness_router = APIRouter(tags=["strictness"])

Word = Annotated[str, Field(max_length=120, pattern=r"^[^\x00]*$")]


class ProfileSet(BaseModel):
    """The fields to change: an absent one stays, null or an empty text clears it."""

    shop: Word | None = None
    group: Word | None = None
    price_list: Word | None = None
    model: Annotated[str, Field(max_length=64)] | None = None
    serial_number: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None
    next_verification: date | None = None


class Described(BaseModel):
    """The profile; `verification_days` are the days left, negative after the day."""

    shop: str
    group: str
    price_list: str
    model: str
    serial_number: str
    next_verification: date | None
    verification_days: int | None


class Model(BaseModel):
    """The limits of a model; null if unknown. The entry without a name is for all other models."""

    model: str
    most_products: int | None
    longest_name: int | None
    longest_text: int | None
    lowest_plu: int
    highest_plu: int
    highest_price: float | None


class Found(BaseModel):
    """A broken rule: the product, the field, and what is allowed."""

    plu: str
    field: str
    rule: RuleKind
    detail: str


class Problems(BaseModel):
    """The problems of a catalogue, in the order of its products; `count` is the number of all."""

    revision: int
    model: str
    count: int
    problems: list[Found]


class StrictnessSet(BaseModel):
    """The rules to relax; all others apply. The reason is for the audit."""

    relaxed: Annotated[list[str], Field(max_length=len(RULES))]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class Strictness(BaseModel):
    """All rules, the relaxed ones, and author, time and reason of the last change; null if none."""

    rules: dict[str, bool]
    relaxed: list[str]
    reason: str
    set_by: str | None
    set_at: datetime | None


@router.get("/models")
async def models(_: Reader) -> list[Model]:
    """The models and their limits, which are checked by edits."""
    return [Model(model=name, **asdict(limits)) for name, limits in MODELS.items()]


@router.get("/devices/{device_id}/profile")
async def read(scales: Scales, caller: Reader, device_id: int) -> Described:
    """The profile of one of the caller's scales."""
    loaded = await own_device(scales, caller, device_id)
    return _present(scales, loaded.device.profile)


@router.put("/devices/{device_id}/profile", dependencies=[DEVICES_VISIBLE])
async def put(
    scales: Scales, caller: Writer, metadata: Authored, device_id: int, body: ProfileSet
) -> Described:
    """Change the given fields of a profile. 422 for a model that is not in the table."""
    loaded = await own_device(scales, caller, device_id)
    saved = await handler.describe(scales, loaded, _fields(body), metadata)
    return _present(scales, saved.loaded.device.profile)


@router.get("/devices/{device_id}/products/problems")
async def find_problems(
    scales: Scales,
    caller: Reader,
    device_id: int,
    limit: Annotated[int, Query(ge=0, le=20_000)] = 1000,
) -> Problems:
    """The fields of the stored catalogue that break a rule or a limit of the model (R11)."""
    loaded = await own_device(scales, caller, device_id)
    stored = (await catalogue.load(scales, caller.tenant, loaded.device_id)).catalogue
    model = loaded.device.profile.model
    # In a thread: ten thousand products take long, and other requests are waiting.
    found = await asyncio.to_thread(problems, stored.current_document, limits_of(model))
    listed = [
        Found(plu=one.plu, field=one.field, rule=one.rule, detail=one.why) for one in found[:limit]
    ]
    return Problems(revision=stored.revision, model=model, count=len(found), problems=listed)


@strictness_router.get("/devices/{device_id}/strictness", name="read")
async def read_strictness(scales: Scales, caller: Reader, device_id: int) -> Strictness:
    """The rules for catalogues that are fetched from the scale."""
    loaded = await own_device(scales, caller, device_id)
    return _present_overrides(loaded.device.overrides)


@strictness_router.put(
    "/devices/{device_id}/strictness", name="put", dependencies=[DEVICES_VISIBLE]
)
async def put_strictness(
    scales: Scales, caller: Writer, metadata: Authored, device_id: int, body: StrictnessSet
) -> Strictness:
    """Relax exactly these rules, from the next operation on."""
    loaded = await own_device(scales, caller, device_id)
    saved = await handler.relax(scales, loaded, body.relaxed, body.reason, metadata)
    return _present_overrides(saved.loaded.device.overrides)


def _fields(body: ProfileSet) -> Mapping[str, Any]:
    fields = body.model_dump(exclude_unset=True)
    return {
        name: "" if value is None and name != "next_verification" else value
        for name, value in fields.items()
    }


def _present(scales: ApiContext, profile: DeviceProfile) -> Described:
    today = scales.clock().astimezone(scales.settings.zone).date()
    days = days_left(profile.next_verification, today)
    return Described(**asdict(profile), verification_days=days)


def _present_overrides(overrides: ValidationOverrides) -> Strictness:
    return Strictness(
        rules={name: name not in overrides.relaxed for name in RULES},
        relaxed=[name for name in RULES if name in overrides.relaxed],
        reason=overrides.reason,
        set_by=overrides.set_by,
        set_at=overrides.set_at,
    )
