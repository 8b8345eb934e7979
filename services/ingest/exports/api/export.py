"""Exports of all scans as CSV and workbooks (§2.9).

An error after the first byte breaks the connection off, so a partial file never looks complete.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from prometheus_client import Counter

from libs.errors import Unavailable
from libs.export.columns import Column, csv_head, csv_lines, layout, xlsx_rows
from libs.export.workbook import Rows, open_workbook
from libs.http.manifest import traffic
from libs.postgres.pool import Connection
from libs.postgres.query import Row
from services.ingest.context import Deps, Ingest
from services.ingest.exports import read_models
from services.ingest.imports.domain import log_events
from services.ingest.imports.handlers.log_events import cells_of
from services.ingest.scans.api.query_params import (
    CurrentQuery,
    DashboardQuery,
    Text,
    fresh,
    without_nul,
)
from services.ingest.scans.domain.box import number
from services.ingest.scans.domain.day import day_of, format_time
from services.ingest.scans.domain.filter import ScanFilter, display_name

CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
RETRY_SECONDS: Final = 10
SLOT_SECONDS: Final = 1.0
"""How long a request waits for a slot."""

LOG: Final = (
    Column("uuid", itemgetter("scan_id"), 38, "id"),
    Column("ts", itemgetter("effective_at"), 20, "moment"),
    Column("type", itemgetter("kind"), 14),
    Column("operator", itemgetter("operator")),
    Column("client", itemgetter("client")),
    Column("city", itemgetter("city")),
    Column("box", itemgetter("box")),
    Column("code", itemgetter("code"), 24, "barcode"),
    Column("details", lambda row: row["details"] or "", 30),
    Column("received_at", itemgetter("received_at"), 20, "moment"),
    Column("source", itemgetter("source"), 12),
)
"""The columns of a row of `scan_log`."""

FULL_LOG: Final = (*LOG, Column(log_events.COLUMN, itemgetter(log_events.COLUMN), 24))
"""The same, and the cell of the events of a row (`domain.log_events`)."""

ITEMS_BY_BOX: Final = (
    Column("Клиент", lambda row: display_name(row["client"])),
    Column("Город", lambda row: display_name(row["city"])),
    Column("Короб", lambda row: display_name(number(row["box"]))),
    Column("ШК", itemgetter("code"), kind="barcode"),
    Column("Время скана", itemgetter("effective_at"), kind="moment"),
    Column("Оператор", itemgetter("operator")),
)
"""One line for each item: where it was packed, when and by whom."""

EXPORTED: Final = Counter("ingest_exported_rows", "Rows written into exports", ["format"])

router = APIRouter(prefix="/api/v1/export", tags=["export"], dependencies=[fresh("scan_log")])

Pages: TypeAlias = AsyncIterator[Sequence[Any]]
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
) -> Response:
    """All scans by time.

    To continue a broken download, pass the uuid of its last complete line as `after`: the rest
    comes without byte order mark and header, to be appended. `full` adds the removed items, and a
    last column from which an import makes the same log.
    """
    kind, scan_filter = without_nul(type) or None, query.scan_filter
    snapshot = read_models.snapshot(ingest.reading, scan_filter.tenant)
    connection = await held.enter_async_context(snapshot)
    position = await _position(connection, scan_filter, after, kind) if after else None
    pages: Pages = read_models.in_time(
        connection, scan_filter, kind=kind, after=position, removed=full
    )
    if full:
        pages = _with_events(ingest, scan_filter, pages)
    columns = FULL_LOG if full else LOG
    parts = _lines(ingest, columns, pages, "csv", head=not position)
    return _file(parts, CSV, _name("scanner_logs", "csv", ingest, query))


@router.get("/boxes-csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
@traffic("export")
async def boxes_csv(ingest: Ingest, query: CurrentQuery, held: ExportSlot) -> Response:
    """All items by client, city, box and time."""
    snapshot = read_models.snapshot(ingest.reading, query.scan_filter.tenant)
    pages = read_models.by_box(await held.enter_async_context(snapshot), query.scan_filter)
    parts = _lines(ingest, ITEMS_BY_BOX, pages, "boxes-csv")
    return _file(parts, CSV, _name("boxes", "csv", ingest, query))


@router.get("/excel", response_class=Response, responses={200: {"content": {XLSX: {}}}})
@traffic("export")
async def excel(
    ingest: Ingest,
    query: CurrentQuery,
    held: ExportSlot,
    type: Text = None,
    full: Full = False,
) -> Response:
    """All scans by time, as a workbook; `full` as in the CSV."""
    kind, scan_filter = without_nul(type) or None, query.scan_filter
    reading = await held.enter_async_context(AsyncExitStack())
    snapshot = read_models.snapshot(ingest.reading, scan_filter.tenant)
    connection = await reading.enter_async_context(snapshot)
    book = await held.enter_async_context(open_workbook())
    columns = FULL_LOG if full else LOG

    async def rows() -> AsyncIterator[Rows]:
        pages = read_models.in_time(connection, scan_filter, kind=kind, removed=full)
        async for page in _with_events(ingest, scan_filter, pages) if full else pages:
            yield xlsx_rows(columns, page, ingest.settings.zone)
            EXPORTED.labels("excel").inc(len(page))
        # Sending the file may take long; the connection is released before.
        await reading.aclose()

    parts = book.file(layout("scans", columns), rows())
    return _file(parts, XLSX, _name("scanner_logs", "xlsx", ingest, query))


async def _position(
    connection: Connection, scan_filter: ScanFilter, after: str, kind: str | None
) -> Row:
    """The row of the uuid `after`; 400 if the export does not contain it."""
    try:
        return await read_models.position_of(connection, scan_filter, UUID(after), kind=kind)
    except (ValueError, read_models.RowUnknown):
        raise HTTPException(400, "there is no such row to go on after") from None


async def _with_events(ingest: Deps, scan_filter: ScanFilter, pages: Pages) -> Pages:
    """The pages, each row with the cell of its events (`domain.log_events`)."""
    async for page in pages:
        cells = await cells_of(ingest.store, scan_filter.tenant, page)
        yield [{**row, log_events.COLUMN: cell} for row, cell in zip(page, cells, strict=True)]


async def _lines(
    ingest: Deps,
    columns: Sequence[Column],
    pages: Pages,
    kind: str,
    *,
    head: bool = True,
) -> AsyncIterator[bytes]:
    # Sent first, even if it is empty: the response's headers leave with it.
    yield csv_head(columns) if head else b""
    format_local = partial(format_time, zone=ingest.settings.zone)
    async for page in pages:
        yield csv_lines(columns, page, format_local)
        EXPORTED.labels(kind).inc(len(page))


def _file(parts: AsyncIterator[bytes], media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Accept-Ranges": "none"}
    return StreamingResponse(parts, media_type=media_type, headers=headers)


def _name(what: str, ending: str, ingest: Deps, query: DashboardQuery) -> str:
    """The file's name, with the days as the query has them, which are valid dates."""
    today = day_of(ingest.clock(), ingest.settings.zone)
    first = query.filters.date or today.isoformat()
    days = [first, query.filters.date_end or ""] if len(query.scan_filter.days) > 1 else [first]
    return f"{'_'.join([what, *days])}.{ending}"
