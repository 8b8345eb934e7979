"""Taking items back, and what was taken back (§2.5, §2.10)."""

import json
from collections.abc import Iterable
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Final, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from contracts.ingest import ScanId
from libs.http.auth import Principal, require
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.ingest.context import Deps, Ingest
from services.ingest.removals.domain import LONGEST_REASON, Kind
from services.ingest.removals.handlers import removal as handler
from services.ingest.removals.handlers.removal import Order
from services.ingest.removals.read_models import removal
from services.ingest.scans.api.answers import Deletion, Deletions, Removed, answered
from services.ingest.scans.api.presenters import log_row
from services.ingest.scans.api.query_params import (
    CONSISTENCY,
    CurrentQuery,
    Text,
    Token,
    request_metadata,
    staleness,
    without_nul,
)
from services.ingest.scans.domain.day import unix_ms, written
from services.ingest.scans.domain.filter import display_name
from services.ingest.scans.domain.scan import LIMITS, parse_uuid

router = APIRouter(prefix="/api/v1", tags=["removal"])

MOST_FAULTS: Final = 100
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


def _spelled(text: str) -> str:
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
    uuids: Annotated[list[Annotated[str, AfterValidator(_spelled)]], Field(max_length=1000)]
    reason: Why = None


Body = TypeVar("Body", bound=BaseModel)
Remover = Annotated[Principal, Depends(require("scan:remove"))]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


def _takes(body: type[BaseModel]) -> dict[str, Any]:
    """The part of the API's description that FastAPI cannot see: any content type is JSON."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@router.post("/events/remove", openapi_extra=_takes(Remove), dependencies=[UNTIL_VISIBLE])
async def remove(request: Request, ingest: Ingest, caller: Remover, key: Key = None) -> Response:
    """Remove one item: of equal ones in the box the latest scanned. `ok` says if there was one.

    With an `Idempotency-Key` a request that its caller repeats answers the first result; 422 if
    the key was used for another.
    """
    asked = _read(Remove, await request.body())
    removed = await handler.remove_from_box(
        ingest.store,
        partial(ingest.items_in_box, caller.tenant, asked.box, asked.code),
        box=asked.box,
        code=asked.code,
        order=_order(ingest, "REMOVE", asked.operator, asked.reason, key, asked),
        metadata=request_metadata(request, caller),
    )
    if removed is None:
        return answered(Removed(False, "Товар не найден в указанном коробе", 0))
    # The item's own words: a repeated request may not be spelled the same.
    code, box = removed.audit.code, removed.audit.box
    said = f"Товар {code} удален из короба {box}"
    return answered(Removed(True, said, 1), {CONSISTENCY: removed.token})


@router.post("/events/bulk-remove", openapi_extra=_takes(BulkRemove), dependencies=[UNTIL_VISIBLE])
async def bulk_remove(
    request: Request, ingest: Ingest, caller: Remover, key: Key = None
) -> Response:
    """Remove up to 1000 items by uuid. What is unknown, no item or removed before does not count.

    With an `Idempotency-Key` a request that its caller repeats answers the first result; 422 if
    the key was used for another.
    """
    asked = _read(BulkRemove, await request.body())
    removed = await handler.remove_listed(
        ingest.store,
        _scan_ids(asked.uuids),
        order=_order(ingest, "BULK_REMOVE", asked.operator, asked.reason, key, asked),
        metadata=request_metadata(request, caller),
    )
    if removed is None:
        return answered(Removed(False, "Не найдены события с указанными UUID", 0))
    body = Removed(True, removed.audit.code, len(removed.audit.removed))
    return answered(body, {CONSISTENCY: removed.token})


@router.delete("/events/{uuid}", dependencies=[UNTIL_VISIBLE])
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
        order=_order(ingest, "REMOVE", who, None, None),
        metadata=request_metadata(request, caller),
    )
    return answered({"ok": True}, {CONSISTENCY: removed.token} if removed else None)


@router.get("/deletions")
async def deletions(
    ingest: Ingest,
    asked: CurrentQuery,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    token: Token = None,
) -> Response:
    """Removed items, the latest removed first; `date` is that of the removal, `operator` who
    removed."""
    question, zone = asked.scan_filter, ingest.settings.zone
    headers = await staleness(ingest, token, "removal")
    async with tenant_transaction(ingest.reading, question.tenant) as connection:
        rows = await removal.page(connection, question, limit=limit, offset=offset)
        total = await removal.count(connection, question)
    listed = [_deletion(row, zone) for row in rows]
    return answered(Deletions(listed, total), headers)


def _deletion(row: Row, zone: ZoneInfo) -> Deletion:
    """A row of `removal`."""
    return Deletion(
        id=f"{row['removal_id']}.{row['scan_id']}",
        event_uuid=str(row["scan_id"]),
        deleted_by=display_name(row["removed_by"]),
        deleted_at=written(row["removed_at"], zone),
        event_data=log_row(row, zone),
        reason=row["reason"],
        removal_id=str(row["removal_id"]),
        deleted_at_ms=unix_ms(row["removed_at"]),
    )


def _read(kind: type[Body], body: bytes) -> Body:
    """The body, JSON whatever its content type says; 422 in FastAPI's words, which quote nothing
    of it: clients look for digits in the text of an error."""
    try:
        return kind.model_validate_json(body.removeprefix(BOM))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    raise HTTPException(422, [_fault(one) for one in found[:MOST_FAULTS]])


def _scan_ids(spelled: Iterable[str]) -> list[ScanId]:
    return [ScanId(uuid) for text in spelled if (uuid := parse_uuid(text))]


def _fault(one: ErrorDetails) -> dict[str, Any]:
    said = "JSON decode error" if one["type"] == "json_invalid" else one["msg"]
    return {"type": one["type"], "loc": ["body", *one["loc"]], "msg": said, "input": None}


def _order(
    ingest: Deps,
    kind: Kind,
    operator: str,
    reason: str | None,
    key: str | None,
    asked: BaseModel | None = None,
) -> Order:
    at, request = ingest.clock(), _digest(asked) if asked is not None and key is not None else None
    return Order(kind=kind, operator=operator, reason=reason or "", at=at, key=key, request=request)


def _digest(asked: BaseModel) -> str:
    """The same for the same request, however its JSON or its uuids are spelled."""
    fields = asked.model_dump()
    if "uuids" in fields:
        fields["uuids"] = sorted({str(scan_id) for scan_id in _scan_ids(fields["uuids"])})
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
