"""What supervisors look at."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from libs.postgres.pool import tenant_snapshot
from services.ingest.context import Ingest
from services.ingest.dashboard.api.as_of import reading_as_of
from services.ingest.dashboard.api.overview import PROJECTIONS, present, projections, read_overview
from services.ingest.dashboard.read_models.as_of import newest_rows
from services.ingest.scans.api.answers import Raw, answered
from services.ingest.scans.api.presenters import log_row
from services.ingest.scans.api.query_params import (
    CurrentQuery,
    HistoricalQuery,
    Text,
    Token,
    staleness,
    without_nul,
)
from services.ingest.scans.read_models import scan_count, scan_log

router = APIRouter(prefix="/api/v1", tags=["dashboard"])

Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/dashboard/state")
async def state(ingest: Ingest, asked: HistoricalQuery, token: Token = None) -> Response:
    """Operators, clients, feed and sums of the days and filters asked for (§2.6, §5).

    With `as_of`, as they were known at that instant: from the log, 503 while too many others ask.
    """
    headers = {} if asked.at else await staleness(ingest, token, *PROJECTIONS)
    now = ingest.clock()
    tables, length = projections(ingest.settings.zone), ingest.settings.feed_length
    async with reading_as_of(
        ingest, asked, tables, rows=newest_rows(asked.scan_filter, length)
    ) as connection:
        overview = await read_overview(connection, asked.scan_filter, feed_length=length)
    body = present(overview, asked.filters, ingest.settings, now=asked.at or now, told_at=now)
    return answered(body, headers)


@router.get("/dashboard/raw")
@router.get("/logs/raw")
async def raw(
    ingest: Ingest,
    asked: CurrentQuery,
    type: Text = None,
    limit: Limit = 1000,
    offset: Offset = 0,
    token: Token = None,
) -> Response:
    """Scans row by row, newest received first, and how many match (§2.8)."""
    kind, question = without_nul(type) or None, asked.scan_filter
    headers = await staleness(ingest, token, "scan_log")
    # The counts and the rows of one moment.
    async with tenant_snapshot(ingest.reading, question.tenant) as connection:
        total, within = await scan_count.window(
            connection, question, kind=kind, limit=limit, offset=offset
        )
        rows = (
            await scan_log.page(connection, question, kind=kind, limit=limit, within=within)
            if within
            else []
        )
    zone = ingest.settings.zone
    return answered(Raw([log_row(row, zone) for row in rows], total), headers)
