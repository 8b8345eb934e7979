"""All scans of a window, in the order of time or of boxes, as a stream.

The table is that of `scan_log`. Rows come through a cursor, so neither end holds them all.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
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
"""Rows at a time: some milliseconds of work for the writer of a file."""
SORT_SECONDS: Final = 300
"""How long Postgres may sort before the first row."""

Page: TypeAlias = Sequence[query.Row]

_TIME: Final = (
    SCAN_LOG.c.effective_at,
    SCAN_LOG.c.received_at,
    SCAN_LOG.c.scanned_at,
    SCAN_LOG.c.scan_id,
)
"""A batch from a clock that is ahead counts at one moment; the device's clock orders it."""
# By code points: the same on every server, whatever language it was set up for.
_BOX: Final = tuple(
    collate(column, "C") for column in (SCAN_LOG.c.client, SCAN_LOG.c.city, SCAN_LOG.c.box)
)


class RowUnknown(LookupError):
    """There is no such scan in the window."""


@asynccontextmanager
async def snapshot(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """One tenant's rows as they are now, however long it takes to read them.

    Raises like `tenant_snapshot`.
    """
    async with tenant_snapshot(pool, tenant) as connection:
        await connection.execute(f"SET LOCAL statement_timeout = '{SORT_SECONDS}s'")
        yield connection


async def position_of(
    connection: Any, question: ScanFilter, scan_id: UUID, *, kind: str | None = None
) -> query.Row:
    """Where a scan stands, to go on behind it; it may have been removed meanwhile.

    Raises `RowUnknown` if what is asked for never held it.
    """
    sought = _matching(question, kind).where(_within(question), SCAN_LOG.c.scan_id == scan_id)
    found = await query.fetchrow(connection, sought)
    if found is None:
        raise RowUnknown
    return found


async def in_time(
    connection: Any,
    question: ScanFilter,
    *,
    kind: str | None = None,
    behind: query.Row | None = None,
    removed: bool = False,
) -> AsyncIterator[Page]:
    """Pages of live rows with the columns of `SCAN_LOG`: by the times that `_TIME` names, then id.

    Begins behind `behind`, the `place` of a scan; what was stored since with an earlier time is
    not behind it. With `removed` items that were removed are among them. Needs a transaction, best
    a `snapshot`.
    """
    first = behind["day"] if behind else question.days.first
    wanted = _matching(question, kind) if removed else _live(question, kind)
    for day in (day for day in _days(question) if day >= first):
        rows = wanted.where(SCAN_LOG.c.day == day).order_by(*_TIME)
        if behind and day == first:
            rows = rows.where(_later(behind))
        async for page in _pages(connection, rows):
            yield page


async def by_box(connection: Any, question: ScanFilter) -> AsyncIterator[Page]:
    """Pages of live items: by client, city and box in the order of code points, then by time."""
    rows = _live(question, ITEM).where(_within(question)).order_by(*_BOX, *_TIME)
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


def _matching(question: ScanFilter, kind: str | None) -> Select[Any]:
    columns, source = operator_name.with_spelling(SCAN_LOG, "operator")
    rows = select(*columns).select_from(source).where(condition(SCAN_LOG, question))
    return rows if kind is None else rows.where(SCAN_LOG.c.kind == kind)


def _live(question: ScanFilter, kind: str | None) -> Select[Any]:
    return _matching(question, kind).where(SCAN_LOG.c.removed_at.is_(None))


def _within(question: ScanFilter) -> ColumnElement[bool]:
    return SCAN_LOG.c.day.between(question.days.first, question.days.last)


def _later(place: query.Row) -> ColumnElement[bool]:
    return tuple_(*_TIME) > tuple_(*(place[column.name] for column in _TIME))


def _days(question: ScanFilter) -> list[date]:
    return [question.days.first + timedelta(days=n) for n in range(len(question.days))]
