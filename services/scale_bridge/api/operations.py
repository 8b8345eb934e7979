"""Operations for clients that do not wait, and their history (R22, R24)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from contracts.scale_bridge import DeviceId, OperationId
from libs.http.auth import Principal
from libs.postgres.pool import tenant_reading
from services.scale_bridge.api.answers import Reader, Writer
from services.scale_bridge.api.device import own
from services.scale_bridge.api.waiting import done
from services.scale_bridge.deps import Deps, Scales
from services.scale_bridge.domain.operation import Operation, queued_of
from services.scale_bridge.domain.operation_commands import Kind
from services.scale_bridge.handlers import operation as handler
from services.scale_bridge.handlers.device import owner_of
from services.scale_bridge.handlers.ordering import Ordered
from services.scale_bridge.read_models import operation

router = APIRouter(tags=["operations"])


class Order(BaseModel):
    """What is to be done. A `full` upload makes the scale forget all other products first."""

    kind: Literal["fetch", "upload", "verify", "probe", "refresh"]
    full: bool = False


class Job(BaseModel):
    """An operation, by its id: queued, sending, applied, ended."""

    id: UUID
    kind: str
    full: bool
    status: str
    outcome: str | None = None
    code: str | None = None
    detail: str | None = None
    result: int | None = None
    revision: int | None = None
    items: int | None = None
    attempts: int = 0
    asked_by: str | None = None
    queued_at: datetime | None = None
    ended_at: datetime | None = None


@router.post("/devices/{device_id}/operations", status_code=202)
async def order(
    response: Response, scales: Scales, caller: Writer, device_id: int, body: Order
) -> Job:
    """Have something done; the job tells how it goes."""
    found = await own(scales, caller, device_id)
    operation_id = handler.new_id()
    ordered = Ordered(
        tenant=caller.tenant,
        device_id=found.device_id,
        operation_id=operation_id,
        kind=body.kind,
        asked_by=caller.subject,
        full=body.full,
    )
    await handler.order(scales.desk, ordered)
    response.headers["Location"] = f"/devices/{device_id}/operations/{operation_id}"
    return _job(operation_id, await handler.load(scales.desk, caller.tenant, operation_id))


@router.get("/devices/{device_id}/operations")
async def history(
    scales: Scales,
    caller: Reader,
    device_id: int,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[Job]:
    """What was done with the scale, the last first."""
    found = await own(scales, caller, device_id)
    async with tenant_reading(scales.reading, caller.tenant) as connection:
        rows = await operation.latest(
            connection, caller.tenant, found.device_id, limit=limit, offset=offset
        )
    return [_listed(row) for row in rows]


@router.get("/devices/{device_id}/operations/{operation_id}")
async def of_device(scales: Scales, caller: Reader, device_id: int, operation_id: UUID) -> Job:
    """How an operation on a scale goes."""
    found = await own(scales, caller, device_id)
    return await _asked(scales, caller, operation_id, found.device_id)


@router.get("/operations/{operation_id}")
async def one(scales: Scales, caller: Reader, operation_id: UUID) -> Job:
    """How an operation goes."""
    return await _asked(scales, caller, operation_id, None)


@router.post("/devices/{device_id}/verify")
async def verify(scales: Scales, caller: Writer, device_id: int) -> Any:
    """Read the scale and compare: whether it shows what is stored. Changes nothing on it."""
    return await _waited(scales, caller, device_id, Kind.VERIFY)


@router.post("/devices/{device_id}/probe")
async def probe(scales: Scales, caller: Writer, device_id: int) -> Any:
    """Ask the scale what it is. Needs no password, changes nothing."""
    return await _waited(scales, caller, device_id, Kind.PROBE)


async def _waited(scales: Deps, caller: Principal, device_id: int, kind: Kind) -> Any:
    found = await own(scales, caller, device_id)
    operation_id = handler.new_id()
    failed = await done(scales, caller, found.device_id, kind, operation_id=operation_id)
    if failed is not None:
        return failed
    return await _asked(scales, caller, operation_id, found.device_id)


async def _asked(
    scales: Deps, caller: Principal, operation_id: UUID, device_id: DeviceId | None
) -> Job:
    asked = OperationId(operation_id)
    owner = owner_of(caller.subject)
    found = await handler.own(scales.desk, caller.tenant, asked, device_id, owner)
    return _job(asked, found)


def _job(operation_id: OperationId, found: Operation) -> Job:
    queued, ended = queued_of(found), found.ended
    told = {
        name: getattr(ended, name)
        for name in ("outcome", "code", "detail", "result", "revision", "items", "ended_at")
        if ended is not None
    }
    return Job(
        id=operation_id,
        kind=queued.kind,
        full=queued.full,
        status=found.stage,
        attempts=found.attempts,
        asked_by=queued.asked_by,
        queued_at=queued.queued_at,
        **told,
    )


def _listed(row: Any) -> Job:
    names = ("kind", "outcome", "code", "detail", "result", "revision", "items", "attempts")
    moments = ("asked_by", "queued_at", "ended_at")
    return Job(
        id=row["operation_id"],
        status=row["stage"],
        full=bool(row["full_upload"]),
        **{name: row[name] for name in (*names, *moments)},
    )
