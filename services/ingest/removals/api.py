"""Requests to remove items, and the list of removed items (§2.5, §2.10)."""

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Final, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from contracts.ingest import ScanId
from libs.eventsourcing.store import new_event_id
from libs.http.auth import Principal, require
from libs.http.idempotency import Attempt, Once, idempotent
from libs.http.manifest import traffic
from libs.http.metadata import request_metadata
from libs.http.paging import Offset
from libs.http.visible import CONSISTENCY, visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.ingest.context import Deps, Ingest
from services.ingest.removals.domain import LONGEST_REASON, Kind, RemoveItems
from services.ingest.removals.handlers import removal as handler
from services.ingest.removals.read_models import removal
from services.ingest.scans.api.presenters import log_row
from services.ingest.scans.api.query_params import CurrentQuery, Text, fresh, without_nul
from services.ingest.scans.api.responses import Deletion, Deletions, Removed, json_response
from services.ingest.scans.domain.day import format_time, unix_ms
from services.ingest.scans.domain.filter import display_name
from services.ingest.scans.domain.scan import LIMITS, parse_uuid

router = APIRouter(prefix="/api/v1", tags=["removal"])

MAX_FAULTS: Final = 100
UNTIL_VISIBLE: Final = visible("activity", "presence", "scan_log", "box", "removal")
BOM: Final = b"\xef\xbb\xbf"


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("unstorable_text", "Text must not contain a NUL character")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("string_too_short", "String should have at least 1 character")
    return text


def _uuid_text(text: str) -> str:
    if parse_uuid(text) is None:
        raise PydanticCustomError("uuid_parsing", "Input should be a valid UUID")
    return text


Words = Annotated[str, AfterValidator(_without_nul)]
Who = Annotated[Words, AfterValidator(_not_blank), Field(max_length=LIMITS["operator"])]
Why = Annotated[Words, Field(max_length=LONGEST_REASON)] | None


class Remove(BaseModel):
    """One item of a code in a box."""

    operator: Who
    box: Annotated[Words, Field(max_length=LIMITS["box"])]
    code: Annotated[Words, Field(max_length=LIMITS["code"])]
    reason: Why = None


class BulkRemove(BaseModel):
    """Items by their ids."""

    operator: Who
    uuids: Annotated[list[Annotated[str, AfterValidator(_uuid_text)]], Field(max_length=1000)]
    reason: Why = None


Body = TypeVar("Body", bound=BaseModel)
Remover = Annotated[Principal, Depends(require("scan:remove"))]
LONGEST_KEY: Final = 200
OneRemoval = Annotated[Once, idempotent("REMOVE", longest=LONGEST_KEY)]
SeveralRemovals = Annotated[Once, idempotent("BULK_REMOVE", longest=LONGEST_KEY)]


def _takes(body: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI of a body that is read as JSON whatever its content type."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@router.post("/events/remove", openapi_extra=_takes(Remove), dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def remove(request: Request, ingest: Ingest, caller: Remover, once: OneRemoval) -> Response:
    """Remove one item: of equal ones in the box the latest scanned. `ok` says if there was one.

    With an `Idempotency-Key` a request that its caller repeats answers the first result; 422 if
    the key was used for another.
    """
    body = _read(Remove, await request.body())
    async with once.attempt(caller, body) as attempt:
        if attempt.replay is not None:
            return attempt.replay
        removed = await handler.remove_from_box(
            ingest.store,
            partial(ingest.items_in_box, caller.tenant, body.box, body.code),
            box=body.box,
            code=body.code,
            command=_command(ingest, "REMOVE", attempt, body.operator, body.reason),
            metadata=request_metadata(request, caller),
        )
        if removed is None:
            return json_response(Removed(False, "Товар не найден в указанном коробе", 0))
        message = f"Товар {body.code} удален из короба {body.box}"
        result = Removed(True, message, 1)
        return attempt.finish(json_response(result, {CONSISTENCY: removed.token}))


@router.post("/events/bulk-remove", openapi_extra=_takes(BulkRemove), dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def bulk_remove(
    request: Request, ingest: Ingest, caller: Remover, once: SeveralRemovals
) -> Response:
    """Remove up to 1000 items by uuid. What is unknown, no item or removed before does not count.

    With an `Idempotency-Key` a request that its caller repeats answers the first result; 422 if
    the key was used for another.
    """
    body = _read(BulkRemove, await request.body())
    scan_ids = _scan_ids(body.uuids)
    # The same uuids in another spelling or order are the same request.
    content = {**body.model_dump(), "uuids": sorted({str(scan_id) for scan_id in scan_ids})}
    async with once.attempt(caller, content) as attempt:
        if attempt.replay is not None:
            return attempt.replay
        removed = await handler.remove_listed(
            ingest.store,
            scan_ids,
            command=_command(ingest, "BULK_REMOVE", attempt, body.operator, body.reason),
            metadata=request_metadata(request, caller),
        )
        if removed is None:
            return json_response(Removed(False, "Не найдены события с указанными UUID", 0))
        result = Removed(True, removed.audit.code, len(removed.audit.removed))
        return attempt.finish(json_response(result, {CONSISTENCY: removed.token}))


@router.delete("/events/{uuid}", dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def delete(
    request: Request, ingest: Ingest, caller: Remover, uuid: str, operator: Text = None
) -> Response:
    """Remove one item by its uuid, in the name of `operator` if one is given; safe to repeat.

    404 if there is no such event, 409 if it is no item.
    """
    scan_id = next(iter(_scan_ids([uuid])), None)
    who = (without_nul(operator) or "").strip()
    removed = await handler.remove_event(
        ingest.store,
        scan_id,
        command=RemoveItems(
            removal_id=new_event_id(), kind="REMOVE", operator=who, reason="", at=ingest.clock()
        ),
        metadata=request_metadata(request, caller),
    )
    return json_response({"ok": True}, {CONSISTENCY: removed.token} if removed else None)


@router.get("/deletions", dependencies=[fresh("removal")])
async def deletions(
    ingest: Ingest,
    query: CurrentQuery,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Offset = 0,
) -> Response:
    """Removed items, the latest removed first; `date` is that of the removal, `operator` who
    removed."""
    scan_filter, zone = query.scan_filter, ingest.settings.zone
    async with tenant_transaction(ingest.reading, scan_filter.tenant) as connection:
        rows = await removal.page(connection, scan_filter, limit=limit, offset=offset)
        total = await removal.count(connection, scan_filter)
    items = [_deletion(row, zone) for row in rows]
    return json_response(Deletions(items, total))


def _deletion(row: Row, zone: ZoneInfo) -> Deletion:
    """A row of `removal`."""
    return Deletion(
        id=f"{row['removal_id']}.{row['scan_id']}",
        event_uuid=str(row["scan_id"]),
        deleted_by=display_name(row["removed_by"]),
        deleted_at=format_time(row["removed_at"], zone),
        event_data=log_row(row, zone),
        reason=row["reason"],
        removal_id=str(row["removal_id"]),
        deleted_at_ms=unix_ms(row["removed_at"]),
    )


def _read(kind: type[Body], body: bytes) -> Body:
    """Parse the body as JSON whatever its content type. The errors of 422 have FastAPI's form
    but quote nothing of the body: clients search error texts for digits."""
    try:
        return kind.model_validate_json(body.removeprefix(BOM))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    raise HTTPException(422, [_fault(error) for error in faults[:MAX_FAULTS]])


def _scan_ids(texts: Iterable[str]) -> list[ScanId]:
    return [ScanId(uuid) for text in texts if (uuid := parse_uuid(text))]


def _fault(error: ErrorDetails) -> dict[str, Any]:
    message = "JSON decode error" if error["type"] == "json_invalid" else error["msg"]
    return {"type": error["type"], "loc": ["body", *error["loc"]], "msg": message, "input": None}


def _command(
    ingest: Deps, kind: Kind, attempt: Attempt, operator: str, reason: str | None
) -> RemoveItems:
    return RemoveItems(
        kind=kind,
        operator=operator,
        reason=reason or "",
        at=ingest.clock(),
        removal_id=attempt.command_id,
    )
