"""HTTP of operations: queue one, run one and wait for its end, read their history (R22, R24)."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from contracts.scale_bridge import DeviceId, OperationEnded, OperationId
from libs.eventsourcing.tokens import collect
from libs.http import paging
from libs.http.auth import Principal
from libs.http.manifest import traffic
from libs.http.visible import visible
from libs.postgres.pool import tenant_connection
from services.scale_bridge.catalogue.api.document import tagged_response
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import (
    OPERATIONS_VISIBLE,
    ApiContext,
    Reader,
    Scales,
    Writer,
    own_device,
    problem,
)
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.operations import read_models
from services.scale_bridge.operations.domain import Operation, queued_of
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.operation import OperationRequest
from services.scale_bridge.operations.stores import progress
from services.scale_bridge.transfer.domain import failure_texts
from services.scale_bridge.transfer.domain.kinds import SUCCEEDED, Kind

if TYPE_CHECKING:
    from services.scale_bridge.settings import Settings

    KindName: TypeAlias = str
else:
    # The values of `Kind` as a literal: clients read them in the schema and in 422.
    KindName = Literal[tuple(kind.value for kind in Kind)]

router = APIRouter(tags=["operations"])
fetch_router = APIRouter(tags=["products"])
upload_router = APIRouter(tags=["upload"])

LATE: Final = "Операция ещё выполняется; результат появится позже."

STATUS: Final[Mapping[str, int]] = {
    failure_texts.BUSY: HTTPStatus.CONFLICT,
    failure_texts.NOTHING_CACHED: HTTPStatus.CONFLICT,
    failure_texts.MOVED: HTTPStatus.CONFLICT,
    failure_texts.EDITED_MEANWHILE: HTTPStatus.CONFLICT,
    failure_texts.BAD_ADDRESS: HTTPStatus.UNPROCESSABLE_ENTITY,
    failure_texts.DEVICE_UNKNOWN: HTTPStatus.NOT_FOUND,
    failure_texts.NOT_BEGUN: HTTPStatus.GATEWAY_TIMEOUT,
    failure_texts.NO_REPORT: HTTPStatus.GATEWAY_TIMEOUT,
    "Timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "BadCatalogue": HTTPStatus.BAD_GATEWAY,
}
"""HTTP statuses by the code of a failed operation; 503 for all other codes."""


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
    operation_id = operation.new_id()
    request = OperationRequest(
        tenant=caller.tenant,
        device_id=device.device_id,
        operation_id=operation_id,
        kind=body.kind,
        asked_by=caller.subject,
        full=body.full,
    )
    await operation.enqueue(scales, request)
    response.headers["Location"] = f"/devices/{device_id}/operations/{operation_id}"
    return _job(operation_id, await operation.load(scales, caller.tenant, operation_id))


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
            await read_models.latest_after(
                connection, tenant, device.device_id, position, limit=limit + 1
            )
            if position is not None
            else await read_models.latest(
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


@fetch_router.get("/devices/{device_id}/products", dependencies=[OPERATIONS_VISIBLE])
@traffic(slow=True)
async def fetch(scales: Scales, caller: Reader, device_id: int) -> Response:
    """Read the scale now. Its catalogue replaces the stored one, as a new revision."""
    device = await own_device(scales, caller, device_id)
    failed = await _run_and_wait(scales, caller, device.device_id, Kind.FETCH)
    if failed is not None:
        return failed
    loaded = await catalogue.load(scales, caller.tenant, device.device_id)
    return await tagged_response(loaded.catalogue)


@upload_router.post("/devices/{device_id}/upload", dependencies=[OPERATIONS_VISIBLE])
@traffic(slow=True)
async def upload(scales: Scales, caller: Writer, device_id: int) -> Response:
    """Send the scale what differs from the stored catalogue, and read it back."""
    device = await own_device(scales, caller, device_id)
    full = scales.settings.clear_on_upload
    failed = await _run_and_wait(scales, caller, device.device_id, Kind.UPLOAD, full=full)
    return failed if failed is not None else JSONResponse({"status": "ok"})


async def _waited(scales: ApiContext, caller: Principal, device_id: int, kind: Kind) -> Any:
    device = await own_device(scales, caller, device_id)
    operation_id = operation.new_id()
    failed = await _run_and_wait(scales, caller, device.device_id, kind, operation_id=operation_id)
    if failed is not None:
        return failed
    return await _job_of(scales, caller, operation_id, device.device_id)


async def _job_of(
    scales: ApiContext, caller: Principal, operation_id: UUID, device_id: DeviceId | None
) -> Job:
    its_id, owner = OperationId(operation_id), owner_of(caller.subject)
    state = await operation.load_owned(scales, caller.tenant, its_id, device_id, owner)
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


async def _run_and_wait(
    scales: ApiContext,
    caller: Principal,
    device_id: DeviceId,
    kind: Kind,
    *,
    full: bool = False,
    operation_id: OperationId | None = None,
) -> Response | None:
    """Queue an operation and wait for its end: None if it succeeded, else the answer.

    It holds no connection while it waits, and the operation goes on if the client leaves (R22). The
    events of the operation count as written by the request: see `collect`.
    """
    operation_id = operation_id or operation.new_id()
    request = OperationRequest(
        tenant=caller.tenant,
        device_id=device_id,
        operation_id=operation_id,
        kind=kind,
        asked_by=caller.subject,
        full=full,
    )
    await operation.enqueue(scales, request)
    ended = await scales.completions.wait(operation_id, scales.settings.answer_seconds)
    if ended is None:
        return problem(HTTPStatus.GATEWAY_TIMEOUT, LATE, "StillRunning")
    collect(ended.token)
    return _answer(ended.event, scales.settings)


def _answer(ended: OperationEnded, settings: "Settings") -> Response | None:
    """The answer for a failed operation; None if it succeeded."""
    if ended.outcome in SUCCEEDED:
        return None
    status = STATUS.get(ended.code, HTTPStatus.SERVICE_UNAVAILABLE)
    detail = ended.detail or failure_texts.sentence(ended.code, ended.outcome)
    return problem(status, detail, ended.code, _retry_after(ended.code, settings))


def _retry_after(code: str, settings: "Settings") -> float | None:
    match code:
        case failure_texts.CIRCUIT_OPEN:
            return settings.breaker_seconds
        case failure_texts.BUSY | "ScaleBusy" | "Overloaded":
            return settings.busy_seconds
        case _:
            return None
