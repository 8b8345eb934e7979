"""Where a question finds its answer: in the read models, or in what the log knew at an instant."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Final

from contracts.ingest import IngestEvent
from libs.errors import Unavailable
from libs.postgres.pool import tenant_connection
from libs.projections.projection import Connection, Projection
from services.ingest.context import Deps
from services.ingest.dashboard.read_models.as_of import ChooseRows, Past, known
from services.ingest.scans.api.query_params import DashboardQuery
from services.ingest.scans.domain.day import Days

RETRY_SECONDS: Final = 5
FIRST: Final = date(1970, 1, 1)
LAST: Final = date(9999, 1, 1)
"""No scan is dated before or after; a query for days outside is answered empty."""


@asynccontextmanager
async def reading_as_of(
    ingest: Deps,
    asked: DashboardQuery,
    projections: Sequence[Projection[IngestEvent]],
    *,
    rows: ChooseRows | None = None,
    around: int = 0,
) -> AsyncIterator[Connection]:
    """A connection on which the tables of `projections` show what is asked for.

    Of the past they hold the days asked for and `around` so many before and after, and of
    `scan_log` only the `rows` asked for. Raises Unavailable, also while too many others look back.
    """
    question = asked.scan_filter
    if asked.at is None:
        async with tenant_connection(ingest.reading, question.tenant) as connection:
            yield connection
        return
    if ingest.looking_back.locked():
        raise Unavailable("turn to look back", retry_after_seconds=RETRY_SECONDS)
    past = Past(store=ingest.store, tenant=question.tenant, at=asked.at, zone=ingest.settings.zone)
    days = Days(
        first=_within(question.days.first, -around), last=_within(question.days.last, around)
    )
    async with (
        ingest.looking_back,
        known(
            ingest.reading, past, projections, days, kept=ingest.kept_past, rows=rows
        ) as connection,
    ):
        yield connection


def _within(day: date, further: int) -> date:
    """So many days further on, as long as there may be scans and the calendar has such days."""
    return min(max(day, FIRST), LAST) + timedelta(days=further)
