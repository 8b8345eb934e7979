"""Operations for clients that do not wait, and their history (R22, R24)."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from contracts.scale_bridge import DeviceId, OperationId
from libs.http import paging
from libs.http.auth import Principal
from libs.http.visible import visible
from libs.postgres.pool import tenant_connection
from services.scale_bridge.context import WORKED, ApiContext, Reader, Scales, Writer, own
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.operations import read_models as operation
from services.scale_bridge.operations.api.run_and_wait import run_and_wait
from services.scale_bridge.operations.domain import Operation, queued_of
from services.scale_bridge.operations.handlers import operation as handler
from services.scale_bridge.operations.handlers.requests import OperationRequest
from services.scale_bridge.operations.stores import progress
from services.scale_bridge.transfer.domain.kinds import Kind

router = APIRouter(tags=["operations"])

if TYPE_CHECKING:
    KindName: TypeAlias = str
else:
    KindName = Literal[tuple(kind.value for kind in Kind)]


class Order(BaseModel):
    """What is to be done. A `full` upload makes the scale forget all other products first."""

    kind: KindName
    full: bool = False


class Progress(BaseModel):
    """So many bytes went over the wire, of so many if that is known.

    An operation may be several transfers: it begins at 0 again when it sends or reads anew.
    """

    done_bytes: int
    total_bytes: int | None


class Job(BaseModel):
    """An operation, by its id: queued, sending, applied, ended.

    `progress` is told of one while it is under way, and not in lists.
    """

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
    progress: Progress | None = None


@router.post(
    "/devices/{device_id}/operations", status_code=202, dependencies=[visible("operation")]
)
async def order(
    response: Response, scales: Scales, caller: Writer, device_id: int, body: Order
) -> Job:
    """Have something done; the job tells how it goes."""
    found = await own(scales, caller, device_id)
    operation_id = handler.new_id()
    ordered = OperationRequest(
        tenant=caller.tenant,
        device_id=found.device_id,
        operation_id=operation_id,
        kind=body.kind,
        asked_by=caller.subject,
        full=body.full,
    )
    await handler.enqueue(scales.context, ordered)
    response.headers["Location"] = f"/devices/{device_id}/operations/{operation_id}"
    return _job(operation_id, await handler.load(scales.context, caller.tenant, operation_id))


@router.get("/devices/{device_id}/operations")
async def history(
    request: Request,
    response: Response,
    scales: Scales,
    caller: Reader,
    device_id: int,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    cursor: paging.Cursor = None,
) -> list[Job]:
    """What was done with the scale, the last first. `Link` leads to what was done before."""
    found = await own(scales, caller, device_id)
    tenant, device, place = caller.tenant, found.device_id, paging.moment_and_id(cursor)
    async with tenant_connection(scales.reading, tenant) as connection:
        rows = (
            await operation.behind(connection, tenant, device, place, limit=limit + 1)
            if place is not None
            else await operation.latest(connection, tenant, device, limit=limit + 1, offset=offset)
        )
    shown, more = paging.page_of(rows, limit)
    if more:
        last = shown[-1]
        next_ = paging.cursor_of(last["queued_at"], last["operation_id"])
        paging.link_next(request, response, next_)
    return [_listed(row) for row in shown]


@router.get("/devices/{device_id}/operations/{operation_id}")
async def of_device(scales: Scales, caller: Reader, device_id: int, operation_id: UUID) -> Job:
    """How an operation on a scale goes."""
    found = await own(scales, caller, device_id)
    return await _job_of(scales, caller, operation_id, found.device_id)


@router.get("/operations/{operation_id}")
async def one(scales: Scales, caller: Reader, operation_id: UUID) -> Job:
    """How an operation goes."""
    return await _job_of(scales, caller, operation_id, None)


@router.post("/devices/{device_id}/verify", dependencies=[WORKED])
async def verify(scales: Scales, caller: Writer, device_id: int) -> Any:
    """Read the scale and compare: whether it shows what is stored. Changes nothing on it."""
    return await _waited(scales, caller, device_id, Kind.VERIFY)


@router.post("/devices/{device_id}/probe", dependencies=[WORKED])
async def probe(scales: Scales, caller: Writer, device_id: int) -> Any:
    """Ask the scale what it is. Needs no password, changes nothing."""
    return await _waited(scales, caller, device_id, Kind.PROBE)


async def _waited(scales: ApiContext, caller: Principal, device_id: int, kind: Kind) -> Any:
    found = await own(scales, caller, device_id)
    operation_id = handler.new_id()
    failed = await run_and_wait(scales, caller, found.device_id, kind, operation_id=operation_id)
    if failed is not None:
        return failed
    return await _job_of(scales, caller, operation_id, found.device_id)


async def _job_of(
    scales: ApiContext, caller: Principal, operation_id: UUID, device_id: DeviceId | None
) -> Job:
    asked = OperationId(operation_id)
    owner = owner_of(caller.subject)
    found = await handler.own(scales.context, caller.tenant, asked, device_id, owner)
    job = _job(asked, found)
    return job if found.ended else await _under_way(scales, caller.tenant, job)


async def _under_way(scales: ApiContext, tenant: str, job: Job) -> Job:
    async with tenant_connection(scales.reading, tenant) as connection:
        moved = await progress.of(connection, tenant, job.id)
    if moved is None:
        return job
    told = Progress(done_bytes=moved.done, total_bytes=moved.total)
    return job.model_copy(update={"progress": told})


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
