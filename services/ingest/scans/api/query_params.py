"""Query parameters of the dashboard, and who may ask."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Query

from libs.http import visible
from libs.http.auth import Principal, require
from libs.names import comparable
from services.ingest.context import Deps, Ingest
from services.ingest.scans.api.responses import Filters
from services.ingest.scans.domain.day import BadDate, day_of, parse_days
from services.ingest.scans.domain.filter import ScanFilter, parse_value
from services.ingest.scans.domain.instant import BadInstant, parse_instant
from services.ingest.settings import Settings

Text = Annotated[str | None, Query(max_length=200)]
READS: Final = require("scan:read")
Reader = Annotated[Principal, Depends(READS)]

fresh: Final = partial(visible.fresh, of=READS)


@dataclass(frozen=True, slots=True)
class DashboardQuery:
    """A filter, its parameters as they were written, and the instant of `as_of` or None."""

    scan_filter: ScanFilter
    filters: Filters
    at: datetime | None = None


async def filter_params(
    date: Text = None,
    date_end: Text = None,
    operator: Text = None,
    client: Text = None,
    city: Text = None,
) -> Filters:
    """The filter parameters as they were written; an empty text counts as missing."""
    for text in (operator, client, city):
        without_nul(text)
    return Filters(
        date=date or None,
        date_end=date_end or None,
        operator=operator or None,
        client=client or None,
        city=city or None,
    )


FilterParams = Annotated[Filters, Depends(filter_params)]


def build_filter(tenant: str, filters: Filters, settings: Settings, *, now: datetime) -> ScanFilter:
    """The filter that the parameters mean at the instant `now` (§2.6, §5.1). Raises BadDate."""
    today = day_of(now, settings.zone)
    operator = parse_value(filters.operator)
    return ScanFilter(
        tenant=tenant,
        days=parse_days(
            filters.date, filters.date_end, today=today, max_days=settings.max_range_days
        ),
        operator=None if operator is None else comparable(operator),
        client=parse_value(filters.client),
        city=parse_value(filters.city),
    )


async def current_query(ingest: Ingest, reader: Reader, filters: FilterParams) -> DashboardQuery:
    """The query as of now; 400 if a parameter is invalid."""
    return DashboardQuery(_valid_filter(ingest, reader, filters, ingest.clock()), filters)


async def historical_query(
    ingest: Ingest,
    reader: Reader,
    filters: FilterParams,
    as_of: Annotated[str | None, Query(max_length=64)] = None,
) -> DashboardQuery:
    """The query as of the instant `as_of` (RFC 3339) if it is given; a future one means now."""
    now = ingest.clock()
    try:
        at = min(parse_instant(as_of), now) if as_of else None
    except BadInstant as error:
        raise HTTPException(400, str(error)) from None
    return DashboardQuery(_valid_filter(ingest, reader, filters, at or now), filters, at)


def without_nul(text: str | None) -> str | None:
    """The text; 400 if it contains a NUL, which the database cannot store."""
    if text is not None and "\0" in text:
        raise HTTPException(400, "a filter must not contain a NUL character")
    return text


def _valid_filter(ingest: Deps, reader: Principal, filters: Filters, now: datetime) -> ScanFilter:
    try:
        return build_filter(reader.tenant, filters, ingest.settings, now=now)
    except BadDate as error:
        raise HTTPException(400, str(error)) from None


CurrentQuery = Annotated[DashboardQuery, Depends(current_query)]
HistoricalQuery = Annotated[DashboardQuery, Depends(historical_query)]
