"""Requests about quarantined events: list, inspect, mend, replay and drop them."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from msgspec import to_builtins
from pydantic import BaseModel, ConfigDict, Field

from libs.errors import Refused
from libs.eventsourcing.log import Metadata
from libs.http.auth import require
from libs.http.manifest import traffic
from libs.http.metadata import metadata_of
from libs.http.paging import Offset
from libs.http.shapes import ErrorRow, Scope
from libs.http.visible import CONSISTENCY, visible
from libs.postgres.pool import tenant_transaction
from services.ingest.context import Ingest
from services.ingest.quarantine import read_models as quarantine
from services.ingest.quarantine.api import presenters
from services.ingest.quarantine.domain import (
    LONGEST_REASON,
    AlreadyDecided,
    CutShort,
    NotInQuarantine,
    ReasonNeeded,
    StillWrong,
)
from services.ingest.quarantine.handlers.correction import Correction, read_correction
from services.ingest.quarantine.handlers.quarantine import QuarantineCommands, inspect
from services.ingest.quarantine.read_models import QuarantineFilter, Status
from services.ingest.scans.api import bodies
from services.ingest.scans.api.query_params import Reader, Text, fresh, without_nul
from services.ingest.scans.api.responses import json_response
from services.ingest.scans.domain.scan import parse_uuid
from services.ingest.scans.handlers.body import BadRequest

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

AT_ONCE: Final = 200
"""The most events that one request replays, well within a client's deadline."""

UNTIL_VISIBLE: Final = visible("quarantine", "activity", "presence", "scan_log", "box")

Chosen = Literal["open", "mended", "dropped", "all"]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Dropping(BaseModel):
    """Why an event is dropped."""

    reason: str = Field(min_length=1, max_length=LONGEST_REASON)


class Replaying(BaseModel):
    """Which events to try again: those of a code, or all; `after` is the `next` of the answer."""

    model_config = ConfigDict(extra="forbid")

    code: str | None = Field(default=None, max_length=50, pattern=r"^[a-z_]+$")
    after: UUID | None = None


async def path_id(id: str) -> UUID:
    """The id in the path. Raises NotInQuarantine if it is no UUID."""
    if (uuid := parse_uuid(id)) is None:
        raise NotInQuarantine
    return uuid


async def open_commands(
    ingest: Ingest, metadata: Annotated[Metadata, metadata_of(require("scan:remove"))]
) -> QuarantineCommands:
    """The commands that the caller gives now."""
    return QuarantineCommands(
        store=ingest.store,
        metadata=metadata,
        now=ingest.clock(),
        not_before=ingest.settings.plausible_from,
    )


Id = Annotated[UUID, Depends(path_id)]
Commands = Annotated[QuarantineCommands, Depends(open_commands)]


@router.get("", dependencies=[fresh("quarantine")])
async def events(
    ingest: Ingest,
    reader: Reader,
    code: Text = None,
    status: Chosen = "open",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Quarantined events, newest first, how many there are, and of each code (whatever `code`)."""
    filters = QuarantineFilter(
        tenant=reader.tenant,
        status=None if status == "all" else Status(status),
        code=without_nul(code) or None,
    )
    async with tenant_transaction(ingest.reading, reader.tenant) as connection:
        rows = await quarantine.page(connection, filters, limit=limit, offset=offset)
        counts = await quarantine.counts(
            connection, QuarantineFilter(tenant=filters.tenant, status=filters.status)
        )
    total = counts.get(filters.code, 0) if filters.code else sum(counts.values())
    summaries = [presenters.summary(row, ingest.settings.zone) for row in rows]
    return json_response(presenters.Page(summaries, total, counts))


@router.get("/{id}")
async def event(ingest: Ingest, reader: Reader, id: Id) -> Response:
    """One event in full with its faults and its history, from the log."""
    settings = ingest.settings
    inspected = await inspect(
        ingest.store, id, tenant=reader.tenant, not_before=settings.plausible_from
    )
    return json_response(presenters.inspection(inspected, settings.zone))


@router.post("/{id}/mend", openapi_extra=bodies.MEND, dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def mend(request: Request, commands: Commands, id: Id) -> Response:
    """Store the event as it should have been: the body is that, or `{"patch": {…}}` (RFC 7396).

    Judged by the rules of scans as of when it was received. 422 says what is still wrong, 409 what
    was decided before; then nothing is written.
    """
    try:
        correction = read_correction(await request.body())
    except BadRequest as error:
        raise HTTPException(422, error.details) from None
    return await _mend(commands, id, correction)


@router.post("/{id}/replay", dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def replay(commands: Commands, id: Id) -> Response:
    """Validate the event again as it arrived, after rules or settings have changed."""
    return await _mend(commands, id, None)


@router.post("/{id}/drop", openapi_extra=bodies.DROP, dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def drop(commands: Commands, id: Id, dropping: Dropping) -> Response:
    """Drop the event: it will never be a scan. The reason is stored."""
    token = await commands.drop(id, dropping.reason)
    return json_response(presenters.Done(True, "dropped"), {CONSISTENCY: token})


@router.post("/replay", dependencies=[UNTIL_VISIBLE])
@traffic("removal")
async def replay_many(ingest: Ingest, commands: Commands, replaying: Replaying) -> Response:
    """Replay open events, up to 200 at a time: repeat with `next` as `after` until it is null.

    Safe to repeat: the read model names the open events, the log decides about each.
    """
    filters = QuarantineFilter(tenant=commands.metadata.tenant, code=replaying.code)
    async with tenant_transaction(ingest.reading, filters.tenant) as connection:
        ids = await quarantine.ids(connection, filters, after=replaying.after, limit=AT_ONCE)
    results = await commands.replay_each(ids)
    next_page = str(ids[-1]) if len(ids) == AT_ONCE else None
    return json_response(presenters.Replayed(ok=True, next=next_page, **results))


async def _mend(commands: QuarantineCommands, id: UUID, correction: Correction | None) -> Response:
    done = await commands.mend(id, correction)
    return json_response(presenters.mended(done), {CONSISTENCY: done.token})


def _row(refused: Refused, scope: Scope) -> ErrorRow:
    """Why nothing was changed, with the faults or the decision made before."""
    status, text = 409, str(type(refused).__doc__)
    details: dict[str, Any] = {"code": type(refused).__name__}
    if isinstance(refused, AlreadyDecided):
        zone = scope["app"].state.deps.settings.zone
        details["decision"] = to_builtins(presenters.present_decision(refused.decision, zone))
    elif isinstance(refused, StillWrong):
        status, text, details["code"] = 422, refused.fault.reason, refused.fault.code
        details["wrong"] = to_builtins(presenters.wrong(refused.wrong))
    elif isinstance(refused, ReasonNeeded):
        status = 422
    return ErrorRow(status, text=text, details=details)


REFUSALS: Final = dict.fromkeys((AlreadyDecided, CutShort, ReasonNeeded, StillWrong), _row)
"""The rows of these refusals in the shape of the service."""
