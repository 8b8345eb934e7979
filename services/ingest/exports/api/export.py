"""Everything at once, for people's own tables: CSV and workbooks (§2.9).

Whatever goes wrong after the first byte cuts the connection: half a table never looks whole.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from prometheus_client import Counter

from libs.errors import Unavailable
from services.ingest.context import Deps, Ingest
from services.ingest.exports.adapters.workbook import Rows, open_workbook
from services.ingest.exports.api import csv_lines, xlsx_rows
from services.ingest.imports.handlers.log_events import cells_of
from services.ingest.scans.api.query_params import (
    CurrentQuery,
    DashboardQuery,
    Text,
    Token,
    staleness,
    without_nul,
)
from services.ingest.scans.domain.day import day_of
from services.ingest.scans.read_models import scan_rows

CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
RETRY_SECONDS: Final = 10
TURN_SECONDS: Final = 1.0

EXPORTED: Final = Counter("ingest_exported_rows", "Rows written into exports", ["format"])

router = APIRouter(prefix="/api/v1/export", tags=["export"])

Held: TypeAlias = AsyncExitStack
"""What an export holds until its answer has left or the client has."""


async def export_slot(ingest: Ingest) -> AsyncIterator[Held]:
    """One of the parallel exports, until the answer is over. Raises Unavailable if all are busy."""
    try:
        # The slot of an answer that has just ended is free a moment later.
        async with asyncio.timeout(TURN_SECONDS):
            await ingest.exports.acquire()
    except TimeoutError:
        raise Unavailable("exports", retry_after_seconds=RETRY_SECONDS) from None
    try:
        async with AsyncExitStack() as held:
            yield held
    finally:
        ingest.exports.release()


ExportSlot = Annotated[Held, Depends(export_slot)]
Full = Annotated[bool, Query()]


@router.get("/csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def csv(
    ingest: Ingest,
    asked: CurrentQuery,
    held: ExportSlot,
    type: Text = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    full: Full = False,
    token: Token = None,
) -> Response:
    """All scans by time. To go on with a broken download, name the uuid of its last whole line in
    `after`: what follows comes without mark and names, to be appended. What is `full` holds
    removed items too, and in a last column all that an import needs to make the same log.
    """
    kind, question = without_nul(type) or None, asked.scan_filter
    headers = await staleness(ingest, token, "scan_log")
    snapshot = scan_rows.snapshot(ingest.reading, question.tenant)
    connection = await held.enter_async_context(snapshot)
    behind = None
    if after:
        try:
            behind = await scan_rows.position_of(connection, question, UUID(after), kind=kind)
        except (ValueError, scan_rows.RowUnknown):
            raise HTTPException(400, "there is no such row to go on after") from None
    pages = scan_rows.in_time(connection, question, kind=kind, behind=behind, removed=full)
    head = b"" if behind else csv_lines.head(csv_lines.FULL_LOG if full else csv_lines.LOG)
    zone = ingest.settings.zone

    async def write(page: scan_rows.Page) -> bytes:
        if not full:
            return csv_lines.log_lines(page, zone)
        events = await cells_of(ingest.store, question.tenant, page)
        return csv_lines.full_log_lines(page, events, zone)

    parts = _lines(pages, head, write, "csv")
    return _file(parts, CSV, _name("scanner_logs", "csv", ingest, asked), headers)


@router.get("/boxes-csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def boxes_csv(
    ingest: Ingest, asked: CurrentQuery, held: ExportSlot, token: Token = None
) -> Response:
    """All items by client, city, box and time."""
    headers = await staleness(ingest, token, "scan_log")
    snapshot = scan_rows.snapshot(ingest.reading, asked.scan_filter.tenant)
    pages = scan_rows.by_box(await held.enter_async_context(snapshot), asked.scan_filter)
    head, zone = csv_lines.head(csv_lines.BOXES), ingest.settings.zone

    async def write(page: scan_rows.Page) -> bytes:
        return csv_lines.box_lines(page, zone)

    parts = _lines(pages, head, write, "boxes-csv")
    return _file(parts, CSV, _name("boxes", "csv", ingest, asked), headers)


@router.get("/excel", response_class=Response, responses={200: {"content": {XLSX: {}}}})
async def excel(
    ingest: Ingest,
    asked: CurrentQuery,
    held: ExportSlot,
    type: Text = None,
    full: Full = False,
    token: Token = None,
) -> Response:
    """All scans by time, as a workbook; `full` as in the CSV."""
    kind, question = without_nul(type) or None, asked.scan_filter
    headers = await staleness(ingest, token, "scan_log")
    reading = await held.enter_async_context(AsyncExitStack())
    snapshot = scan_rows.snapshot(ingest.reading, question.tenant)
    connection = await reading.enter_async_context(snapshot)
    book = await held.enter_async_context(open_workbook())

    async def rows() -> AsyncIterator[Rows]:
        async for page in scan_rows.in_time(connection, question, kind=kind, removed=full):
            if full:
                events = await cells_of(ingest.store, question.tenant, page)
                yield xlsx_rows.full_log_rows(page, events, ingest.settings.zone)
            else:
                yield xlsx_rows.log_rows(page, ingest.settings.zone)
            EXPORTED.labels("excel").inc(len(page))
        # The file may take long to leave; the connection is free meanwhile.
        await reading.aclose()

    parts = book.file(xlsx_rows.FULL_LOG if full else xlsx_rows.LOG, rows())
    return _file(parts, XLSX, _name("scanner_logs", "xlsx", ingest, asked), headers)


async def _lines(
    pages: AsyncIterator[scan_rows.Page],
    head: bytes,
    write: Callable[[scan_rows.Page], Awaitable[bytes]],
    kind: str,
) -> AsyncIterator[bytes]:
    # First of all, even if it is nothing: only with it the answer's head leaves.
    yield head
    async for page in pages:
        yield await write(page)
        EXPORTED.labels(kind).inc(len(page))


def _file(
    parts: AsyncIterator[bytes], media_type: str, name: str, headers: dict[str, str]
) -> Response:
    told = {"Content-Disposition": f'attachment; filename="{name}"', "Accept-Ranges": "none"}
    return StreamingResponse(parts, media_type=media_type, headers={**told, **headers})


def _name(what: str, ending: str, ingest: Deps, asked: DashboardQuery) -> str:
    """The days in it are as they were written, which `asking` has found to be dates."""
    today = day_of(ingest.clock(), ingest.settings.zone)
    first = asked.filters.date or today.isoformat()
    days = [first, asked.filters.date_end or ""] if len(asked.scan_filter.days) > 1 else [first]
    return f"{'_'.join([what, *days])}.{ending}"
