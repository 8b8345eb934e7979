"""Which scans does an export contain, by time or by box?

Pages of `scan_log` through a cursor, so neither Postgres nor the service holds all rows.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, collate, select, tuple_

from libs.postgres import query
from libs.postgres.pool import Connection, Pool, tenant_snapshot
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.scan import ITEM
from services.ingest.scans.read_models import operator_name
from services.ingest.scans.read_models.conditions import condition
from services.ingest.scans.read_models.scan_log import SCAN_LOG

PAGE: Final = 250
"""The rows of a page: some milliseconds of work for the writer of a file."""
SORT_SECONDS: Final = 300
"""The limit for Postgres to sort before the first row."""

Page: TypeAlias = Sequence[query.Row]

_TIME: Final = (
    SCAN_LOG.c.effective_at,
    SCAN_LOG.c.received_at,
    SCAN_LOG.c.scanned_at,
    SCAN_LOG.c.scan_id,
)
"""Scans of a clock that is ahead share one effective time; `scanned_at` orders them."""
# By code points, whatever the locale of the server.
_BOX: Final = tuple(
    collate(column, "C") for column in (SCAN_LOG.c.client, SCAN_LOG.c.city, SCAN_LOG.c.box)
)


class RowUnknown(LookupError):
    """There is no such scan among the rows of the export."""


@asynccontextmanager
async def snapshot(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A connection that shows the tenant's rows as of now until it is closed.

    Raises as `tenant_snapshot`.
    """
    async with tenant_snapshot(pool, tenant) as connection:
        await connection.execute(f"SET LOCAL statement_timeout = '{SORT_SECONDS}s'")
        yield connection


async def position_of(
    connection: Any, scan_filter: ScanFilter, scan_id: UUID, *, kind: str | None = None
) -> query.Row:
    """The row of a scan, from which `in_time` continues; it may be removed meanwhile.

    Raises `RowUnknown` if the export never contained it.
    """
    rows = _matching(scan_filter, kind).where(_within(scan_filter), SCAN_LOG.c.scan_id == scan_id)
    row = await query.fetchrow(connection, rows)
    if row is None:
        raise RowUnknown
    return row


async def in_time(
    connection: Any,
    scan_filter: ScanFilter,
    *,
    kind: str | None = None,
    after: query.Row | None = None,
    removed: bool = False,
) -> AsyncIterator[Page]:
    """Pages of live rows with the columns of `SCAN_LOG`, in the order of `_TIME`.

    `after` is a row of `position_of`: only rows behind it follow, so a scan stored since with an
    earlier time is missing. With `removed` the removed items are included. Needs a transaction,
    preferably a `snapshot`.
    """
    first = after["day"] if after else scan_filter.days.first
    matching = _matching(scan_filter, kind) if removed else _live(scan_filter, kind)
    for day in (day for day in scan_filter.days if day >= first):
        rows = matching.where(SCAN_LOG.c.day == day).order_by(*_TIME)
        if after and day == first:
            rows = rows.where(_later_than(after))
        async for page in _pages(connection, rows):
            yield page


async def by_box(connection: Any, scan_filter: ScanFilter) -> AsyncIterator[Page]:
    """Pages of live items: by client, city and box in the order of code points, then by time."""
    rows = _live(scan_filter, ITEM).where(_within(scan_filter)).order_by(*_BOX, *_TIME)
    async for page in _pages(connection, rows):
        yield page


async def _pages(connection: Any, rows: Select[Any]) -> AsyncIterator[Page]:
    sql, values = query.compiled(rows, {})
    page: list[query.Row] = []
    async for row in connection.cursor(sql, *values, prefetch=PAGE):
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _matching(scan_filter: ScanFilter, kind: str | None) -> Select[Any]:
    columns, source = operator_name.with_spelling(SCAN_LOG, "operator")
    rows = select(*columns).select_from(source).where(condition(SCAN_LOG, scan_filter))
    return rows if kind is None else rows.where(SCAN_LOG.c.kind == kind)


def _live(scan_filter: ScanFilter, kind: str | None) -> Select[Any]:
    return _matching(scan_filter, kind).where(SCAN_LOG.c.removed_at.is_(None))


def _within(scan_filter: ScanFilter) -> ColumnElement[bool]:
    return SCAN_LOG.c.day.between(scan_filter.days.first, scan_filter.days.last)


def _later_than(row: query.Row) -> ColumnElement[bool]:
    return tuple_(*_TIME) > tuple_(*(row[column.name] for column in _TIME))
