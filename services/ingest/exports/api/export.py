"""Exports of all scans as CSV and workbooks (§2.9).

An error after the first byte breaks the connection off, so a partial file never looks complete.
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
from libs.http.manifest import traffic
from libs.postgres.pool import Connection
from libs.postgres.query import Row
from services.ingest.context import Deps, Ingest
from services.ingest.exports import read_models
from services.ingest.exports.adapters.workbook import Rows, open_workbook
from services.ingest.exports.api import formats
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
from services.ingest.scans.domain.filter import ScanFilter

CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
RETRY_SECONDS: Final = 10
SLOT_SECONDS: Final = 1.0
"""How long a request waits for a slot."""

EXPORTED: Final = Counter("ingest_exported_rows", "Rows written into exports", ["format"])

router = APIRouter(prefix="/api/v1/export", tags=["export"])

Held: TypeAlias = AsyncExitStack
"""Resources that an export holds until its response is sent or the client is gone."""


async def export_slot(ingest: Ingest) -> AsyncIterator[Held]:
    """A slot for an export until its response ends. Raises Unavailable while all are taken."""
    try:
        # The slot of a response that has just ended is free a moment later.
        async with asyncio.timeout(SLOT_SECONDS):
            await ingest.export_slots.acquire()
    except TimeoutError:
        raise Unavailable("exports", retry_after_seconds=RETRY_SECONDS) from None
    try:
        async with AsyncExitStack() as held:
            yield held
    finally:
        ingest.export_slots.release()


ExportSlot = Annotated[Held, Depends(export_slot)]
Full = Annotated[bool, Query()]


@router.get("/csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
@traffic("export")
async def csv(
    ingest: Ingest,
    query: CurrentQuery,
    held: ExportSlot,
    type: Text = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    full: Full = False,
    token: Token = None,
) -> Response:
    """All scans by time.

    To continue a broken download, pass the uuid of its last complete line as `after`: the rest
    comes without byte order mark and header, to be appended. `full` adds the removed items, and a
    last column from which an import makes the same log.
    """
    kind, scan_filter = without_nul(type) or None, query.scan_filter
    headers = await staleness(ingest, token, "scan_log")
    snapshot = read_models.snapshot(ingest.reading, scan_filter.tenant)
    connection = await held.enter_async_context(snapshot)
    position = await _position(connection, scan_filter, after, kind) if after else None
    pages = read_models.in_time(connection, scan_filter, kind=kind, after=position, removed=full)
    head = (
        b""
        if position
        else formats.csv_head(one.name for one in (formats.FULL_LOG if full else formats.LOG))
    )
    zone = ingest.settings.zone

    async def write(page: read_models.Page) -> bytes:
        if not full:
            return formats.csv_log(page, zone)
        events = await cells_of(ingest.store, scan_filter.tenant, page)
        return formats.csv_full_log(page, events, zone)

    parts = _lines(pages, head, write, "csv")
    return _file(parts, CSV, _name("scanner_logs", "csv", ingest, query), headers)


@router.get("/boxes-csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
@traffic("export")
async def boxes_csv(
    ingest: Ingest, query: CurrentQuery, held: ExportSlot, token: Token = None
) -> Response:
    """All items by client, city, box and time."""
    headers = await staleness(ingest, token, "scan_log")
    snapshot = read_models.snapshot(ingest.reading, query.scan_filter.tenant)
    pages = read_models.by_box(await held.enter_async_context(snapshot), query.scan_filter)
    head, zone = formats.csv_head(formats.BOXES), ingest.settings.zone

    async def write(page: read_models.Page) -> bytes:
        return formats.csv_boxes(page, zone)

    parts = _lines(pages, head, write, "boxes-csv")
    return _file(parts, CSV, _name("boxes", "csv", ingest, query), headers)


@router.get("/excel", response_class=Response, responses={200: {"content": {XLSX: {}}}})
@traffic("export")
async def excel(
    ingest: Ingest,
    query: CurrentQuery,
    held: ExportSlot,
    type: Text = None,
    full: Full = False,
    token: Token = None,
) -> Response:
    """All scans by time, as a workbook; `full` as in the CSV."""
    kind, scan_filter = without_nul(type) or None, query.scan_filter
    headers = await staleness(ingest, token, "scan_log")
    reading = await held.enter_async_context(AsyncExitStack())
    snapshot = read_models.snapshot(ingest.reading, scan_filter.tenant)
    connection = await reading.enter_async_context(snapshot)
    book = await held.enter_async_context(open_workbook())

    async def rows() -> AsyncIterator[Rows]:
        async for page in read_models.in_time(connection, scan_filter, kind=kind, removed=full):
            if full:
                events = await cells_of(ingest.store, scan_filter.tenant, page)
                yield formats.xlsx_full_log(page, events, ingest.settings.zone)
            else:
                yield formats.xlsx_log(page, ingest.settings.zone)
            EXPORTED.labels("excel").inc(len(page))
        # Sending the file may take long; the connection is released before.
        await reading.aclose()

    parts = book.file(formats.FULL_LOG_SHEET if full else formats.LOG_SHEET, rows())
    return _file(parts, XLSX, _name("scanner_logs", "xlsx", ingest, query), headers)


async def _position(
    connection: Connection, scan_filter: ScanFilter, after: str, kind: str | None
) -> Row:
    """The row of the uuid `after`; 400 if the export does not contain it."""
    try:
        return await read_models.position_of(connection, scan_filter, UUID(after), kind=kind)
    except (ValueError, read_models.RowUnknown):
        raise HTTPException(400, "there is no such row to go on after") from None


async def _lines(
    pages: AsyncIterator[read_models.Page],
    head: bytes,
    write: Callable[[read_models.Page], Awaitable[bytes]],
    kind: str,
) -> AsyncIterator[bytes]:
    # Sent first, even if it is empty: the response's headers leave with it.
    yield head
    async for page in pages:
        yield await write(page)
        EXPORTED.labels(kind).inc(len(page))


def _file(
    parts: AsyncIterator[bytes], media_type: str, name: str, headers: dict[str, str]
) -> Response:
    file_headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Accept-Ranges": "none",
    }
    return StreamingResponse(parts, media_type=media_type, headers={**file_headers, **headers})


def _name(what: str, ending: str, ingest: Deps, query: DashboardQuery) -> str:
    """The file's name, with the days as the query has them, which are valid dates."""
    today = day_of(ingest.clock(), ingest.settings.zone)
    first = query.filters.date or today.isoformat()
    days = [first, query.filters.date_end or ""] if len(query.scan_filter.days) > 1 else [first]
    return f"{'_'.join([what, *days])}.{ending}"
