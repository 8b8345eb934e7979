"""Operations for clients that do not wait, and their history (R22, R24)."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from contracts.scale_bridge import DeviceId, OperationId
from libs.http import paging
from libs.http.auth import Principal
from libs.http.manifest import traffic
from libs.http.visible import visible
from libs.postgres.pool import tenant_connection
from services.scale_bridge.context import (
    OPERATIONS_VISIBLE,
    ApiContext,
    Reader,
    Scales,
    Writer,
    own_device,
)
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.operations import read_models as operation
from services.scale_bridge.operations.api.run_and_wait import run_and_wait
from services.scale_bridge.operations.domain import Operation, queued_of
from services.scale_bridge.operations.handlers import operation as handler
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.operations.stores import progress
from services.scale_bridge.transfer.domain.kinds import Kind

router = APIRouter(tags=["operations"])

# The values of `Kind` as a literal: clients read them in the schema and in 422.
if TYPE_CHECKING:
    KindName: TypeAlias = str
else:
    KindName = Literal[tuple(kind.value for kind in Kind)]


class Order(BaseModel):
    """An operation to execute. A `full` upload makes the scale forget all other products first."""

    kind: KindName
    full: bool = False


class Progress(BaseModel):
    """Bytes transferred, of a total that may be unknown.

    An operation may be several transfers: each begins at 0.
    """

    done_bytes: int
    total_bytes: int | None


class Job(BaseModel):
    """An operation. `status` is queued, sending, applied or ended.

    `progress` is present while an operation is running, and absent from lists.
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
    "/devices/{device_id}/operations",
    name="order",
    status_code=202,
    dependencies=[visible("operation")],
)
async def queue(
    response: Response, scales: Scales, caller: Writer, device_id: int, body: Order
) -> Job:
    """Queue an operation. The answer is its job, which `Location` names."""
    device = await own_device(scales, caller, device_id)
    operation_id = handler.new_id()
    request = OperationRequest(
        tenant=caller.tenant,
        device_id=device.device_id,
        operation_id=operation_id,
        kind=body.kind,
        asked_by=caller.subject,
        full=body.full,
    )
    await handler.enqueue(scales, request)
    response.headers["Location"] = f"/devices/{device_id}/operations/{operation_id}"
    return _job(operation_id, await handler.load(scales, caller.tenant, operation_id))


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
    """The operations of a scale, the latest first. `Link` leads to earlier ones."""
    device = await own_device(scales, caller, device_id)
    tenant, position = caller.tenant, paging.moment_and_id(cursor)
    async with tenant_connection(scales.reading, tenant) as connection:
        rows = (
            await operation.latest_after(
                connection, tenant, device.device_id, position, limit=limit + 1
            )
            if position is not None
            else await operation.latest(
                connection, tenant, device.device_id, limit=limit + 1, offset=offset
            )
        )
    page = paging.linked(
        request, response, rows, limit, lambda row: (row["queued_at"], row["operation_id"])
    )
    return [_job_of_row(row) for row in page]


@router.get("/devices/{device_id}/operations/{operation_id}")
async def of_device(scales: Scales, caller: Reader, device_id: int, operation_id: UUID) -> Job:
    """An operation on a scale, and its progress."""
    device = await own_device(scales, caller, device_id)
    return await _job_of(scales, caller, operation_id, device.device_id)


@router.get("/operations/{operation_id}")
async def one(scales: Scales, caller: Reader, operation_id: UUID) -> Job:
    """An operation, and its progress."""
    return await _job_of(scales, caller, operation_id, None)


@router.post("/devices/{device_id}/verify", dependencies=[OPERATIONS_VISIBLE])
@traffic(slow=True)
async def verify(scales: Scales, caller: Writer, device_id: int) -> Any:
    """Read the scale and compare it with the stored catalogue. Changes nothing on the scale."""
    return await _waited(scales, caller, device_id, Kind.VERIFY)


@router.post("/devices/{device_id}/probe", dependencies=[OPERATIONS_VISIBLE])
@traffic(slow=True)
async def probe(scales: Scales, caller: Writer, device_id: int) -> Any:
    """Read the model, serial number and version of the scale. Changes nothing on it."""
    return await _waited(scales, caller, device_id, Kind.PROBE)


async def _waited(scales: ApiContext, caller: Principal, device_id: int, kind: Kind) -> Any:
    device = await own_device(scales, caller, device_id)
    operation_id = handler.new_id()
    failed = await run_and_wait(scales, caller, device.device_id, kind, operation_id=operation_id)
    if failed is not None:
        return failed
    return await _job_of(scales, caller, operation_id, device.device_id)


async def _job_of(
    scales: ApiContext, caller: Principal, operation_id: UUID, device_id: DeviceId | None
) -> Job:
    its_id, owner = OperationId(operation_id), owner_of(caller.subject)
    state = await handler.load_owned(scales, caller.tenant, its_id, device_id, owner)
    job = _job(its_id, state)
    return job if state.ended else await _with_progress(scales, caller.tenant, job)


async def _with_progress(scales: ApiContext, tenant: str, job: Job) -> Job:
    async with tenant_connection(scales.reading, tenant) as connection:
        transferred = await progress.get(connection, tenant, job.id)
    if transferred is None:
        return job
    current = Progress(done_bytes=transferred.done, total_bytes=transferred.total)
    return job.model_copy(update={"progress": current})


def _job(operation_id: OperationId, state: Operation) -> Job:
    queued, ended = queued_of(state), state.ended
    result = {
        name: getattr(ended, name)
        for name in ("outcome", "code", "detail", "result", "revision", "items", "ended_at")
        if ended is not None
    }
    return Job(
        id=operation_id,
        kind=queued.kind,
        full=queued.full,
        status=state.stage,
        attempts=state.attempts,
        asked_by=queued.asked_by,
        queued_at=queued.queued_at,
        **result,
    )


def _job_of_row(row: Any) -> Job:
    names = ("kind", "outcome", "code", "detail", "result", "revision", "items", "attempts")
    moments = ("asked_by", "queued_at", "ended_at")
    return Job(
        id=row["operation_id"],
        status=row["stage"],
        full=bool(row["full_upload"]),
        **{name: row[name] for name in (*names, *moments)},
    )
