"""What a scale is: its place, its model and limits, its verification (SCL-1, SCL-8, SCL-14)."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from services.scale_bridge.catalogue.domain.model import MODELS, limits_of
from services.scale_bridge.catalogue.domain.problems import RuleKind, problems
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    ApiContext,
    Reader,
    Scales,
    Writer,
    own_device,
    request_metadata,
)
from services.scale_bridge.devices.domain.profile import Profile
from services.scale_bridge.devices.domain.verification import days_left
from services.scale_bridge.devices.handlers import profile as handler

router = APIRouter(tags=["profile"])

Word = Annotated[str, Field(max_length=120, pattern=r"^[^\x00]*$")]


class ProfileSet(BaseModel):
    """What is to change: what is absent stays, null or an empty text takes it away."""

    shop: Word | None = None
    group: Word | None = None
    price_list: Word | None = None
    model: Annotated[str, Field(max_length=64)] | None = None
    serial_number: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None
    next_verification: date | None = None


class Described(BaseModel):
    """All that is known; `verification_days` are left, less than 0 after the day."""

    shop: str
    group: str
    price_list: str
    model: str
    serial_number: str
    next_verification: date | None
    verification_days: int | None


class Model(BaseModel):
    """What a model takes at most; null where nobody knows. Without a name: of any other."""

    model: str
    most_products: int | None
    longest_name: int | None
    longest_text: int | None
    lowest_plu: int
    highest_plu: int
    highest_price: float | None


class Found(BaseModel):
    """A rule that is broken: whose field, and what is allowed."""

    plu: str
    field: str
    rule: RuleKind
    detail: str


class Problems(BaseModel):
    """What the scale may not take, in the order of the products; `count` is all there are."""

    revision: int
    model: str
    count: int
    problems: list[Found]


@router.get("/models")
async def models(_: Reader) -> list[Model]:
    """The table of models, and what is checked when something is edited."""
    return [Model(model=name, **asdict(limits)) for name, limits in MODELS.items()]


@router.get("/devices/{device_id}/profile")
async def read(scales: Scales, caller: Reader, device_id: int) -> Described:
    """What one of the caller's scales is."""
    found = await own_device(scales, caller, device_id)
    return _present(scales, found.device.profile)


@router.put("/devices/{device_id}/profile", dependencies=[DEVICES_VISIBLE])
async def put(
    request: Request, scales: Scales, caller: Writer, device_id: int, body: ProfileSet
) -> Described:
    """Change what is given. 422 for a model that is not in the table."""
    found = await own_device(scales, caller, device_id)
    saved = await handler.describe(
        scales.context, found, _given(body), request_metadata(request, caller)
    )
    return _present(scales, saved.found.device.profile)


@router.get("/devices/{device_id}/products/problems")
async def find_problems(
    scales: Scales,
    caller: Reader,
    device_id: int,
    limit: Annotated[int, Query(ge=0, le=20_000)] = 1000,
) -> Problems:
    """What in the stored copy breaks a rule of R11, or a limit of the model."""
    found = await own_device(scales, caller, device_id)
    copy = (await catalogue.load(scales.context, caller.tenant, found.device_id)).copy
    model = found.device.profile.model
    # Ten thousand products take their time, and others want to be answered.
    listed = await asyncio.to_thread(problems, copy.current_document, limits_of(model))
    told = [
        Found(plu=one.plu, field=one.field, rule=one.rule, detail=one.why) for one in listed[:limit]
    ]
    return Problems(revision=copy.revision, model=model, count=len(listed), problems=told)


def _given(body: ProfileSet) -> Mapping[str, Any]:
    said = body.model_dump(exclude_unset=True)
    return {
        name: "" if value is None and name != "next_verification" else value
        for name, value in said.items()
    }


def _present(scales: ApiContext, profile: Profile) -> Described:
    today = scales.clock().astimezone(scales.settings.zone).date()
    left = days_left(profile.next_verification, today)
    return Described(**asdict(profile), verification_days=left)
