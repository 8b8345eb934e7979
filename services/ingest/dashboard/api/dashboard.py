"""The dashboard's state, and the scans row by row."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from libs.http.paging import Offset
from libs.postgres.pool import tenant_snapshot
from services.ingest.context import Ingest
from services.ingest.dashboard.api.as_of import reading_as_of
from services.ingest.dashboard.api.overview import PROJECTIONS, present, projections, read_overview
from services.ingest.dashboard.read_models.as_of import newest_rows
from services.ingest.scans.api.presenters import log_row
from services.ingest.scans.api.query_params import (
    CurrentQuery,
    HistoricalQuery,
    Text,
    fresh,
    without_nul,
)
from services.ingest.scans.api.responses import Raw, json_response
from services.ingest.scans.read_models import scan_count, scan_log

router = APIRouter(prefix="/api/v1", tags=["dashboard"])

Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/dashboard/state", dependencies=[fresh(*PROJECTIONS, unless="as_of")])
async def state(ingest: Ingest, query: HistoricalQuery) -> Response:
    """Operators, clients, feed and sums of the days and filters asked for (§2.6, §5).

    With `as_of`, as they were known at that instant: from the log, 503 while too many others ask.
    """
    now = ingest.clock()
    tables, length = projections(ingest.settings.zone), ingest.settings.feed_length
    async with reading_as_of(
        ingest, query, tables, select_rows=newest_rows(query.scan_filter, length)
    ) as connection:
        overview = await read_overview(connection, query.scan_filter, feed_length=length)
    body = present(overview, query.filters, ingest.settings, now=query.at or now, generated_at=now)
    return json_response(body)


@router.get("/dashboard/raw", dependencies=[fresh("scan_log")])
@router.get("/logs/raw", dependencies=[fresh("scan_log")])
async def raw(
    ingest: Ingest,
    query: CurrentQuery,
    type: Text = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> Response:
    """Scans row by row, newest received first, and how many match (§2.8)."""
    kind, scan_filter = without_nul(type) or None, query.scan_filter
    # One snapshot for the counts and the rows.
    async with tenant_snapshot(ingest.reading, scan_filter.tenant) as connection:
        total, within = await scan_count.window(
            connection, scan_filter, kind=kind, limit=limit, offset=offset
        )
        rows = (
            await scan_log.page(connection, scan_filter, kind=kind, limit=limit, within=within)
            if within
            else []
        )
    zone = ingest.settings.zone
    return json_response(Raw([log_row(row, zone) for row in rows], total))
