"""A connection for a query: to the read models, or to their state at an earlier instant."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Final

from contracts.ingest import IngestEvent
from libs.errors import Unavailable
from libs.postgres.pool import tenant_connection
from libs.projections.projection import Connection, Projection
from services.ingest.context import Deps
from services.ingest.dashboard.read_models.as_of import AsOf, SelectRows, tables_as_of
from services.ingest.scans.api.query_params import DashboardQuery
from services.ingest.scans.domain.day import Days

RETRY_SECONDS: Final = 5
FIRST: Final = date(1970, 1, 1)
LAST: Final = date(9999, 1, 1)
"""No scan is dated before `FIRST` or after `LAST`; queries for other days return nothing."""


@asynccontextmanager
async def reading_as_of(
    ingest: Deps,
    query: DashboardQuery,
    projections: Sequence[Projection[IngestEvent]],
    *,
    select_rows: SelectRows | None = None,
    extra_days: int = 0,
) -> AsyncIterator[Connection]:
    """A connection on which the tables of `projections` hold the state that `query` names.

    For an earlier instant the tables hold the days of the query and `extra_days` before and after;
    `scan_log` holds only the rows of `select_rows`. Raises Unavailable, also while all slots for
    such queries are taken.
    """
    scan_filter = query.scan_filter
    if query.at is None:
        async with tenant_connection(ingest.reading, scan_filter.tenant) as connection:
            yield connection
        return
    if ingest.as_of_slots.locked():
        raise Unavailable("turn to look back", retry_after_seconds=RETRY_SECONDS)
    as_of = AsOf(
        store=ingest.store, tenant=scan_filter.tenant, at=query.at, zone=ingest.settings.zone
    )
    days = Days(
        first=_shifted(scan_filter.days.first, -extra_days),
        last=_shifted(scan_filter.days.last, extra_days),
    )
    async with (
        ingest.as_of_slots,
        tables_as_of(
            ingest.reading,
            as_of,
            projections,
            days,
            cache=ingest.past_cache,
            select_rows=select_rows,
        ) as connection,
    ):
        yield connection


def _shifted(day: date, by: int) -> date:
    """The day moved by `by` days, after it was brought between `FIRST` and `LAST`."""
    return min(max(day, FIRST), LAST) + timedelta(days=by)
