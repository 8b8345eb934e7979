"""The validation overrides of a scale, with author and reason (R5, R24)."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.scale_bridge.context import (
    DEVICES_VISIBLE,
    Authored,
    Reader,
    Scales,
    Writer,
    own_device,
)
from services.scale_bridge.devices.domain.validation_overrides import RULES, ValidationOverrides
from services.scale_bridge.devices.handlers import profile as handler

router = APIRouter(tags=["strictness"])


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


@router.get("/devices/{device_id}/strictness")
async def read(scales: Scales, caller: Reader, device_id: int) -> Strictness:
    """The rules for catalogues that are fetched from the scale."""
    loaded = await own_device(scales, caller, device_id)
    return _present(loaded.device.overrides)


@router.put("/devices/{device_id}/strictness", dependencies=[DEVICES_VISIBLE])
async def put(
    scales: Scales, caller: Writer, metadata: Authored, device_id: int, body: StrictnessSet
) -> Strictness:
    """Relax exactly these rules, from the next operation on."""
    loaded = await own_device(scales, caller, device_id)
    saved = await handler.relax(scales, loaded, body.relaxed, body.reason, metadata)
    return _present(saved.loaded.device.overrides)


def _present(overrides: ValidationOverrides) -> Strictness:
    return Strictness(
        rules={name: name not in overrides.relaxed for name in RULES},
        relaxed=[name for name in RULES if name in overrides.relaxed],
        reason=overrides.reason,
        set_by=overrides.set_by,
        set_at=overrides.set_at,
    )
