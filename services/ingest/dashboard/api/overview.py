"""The dashboard's state: what is read for it, and how it is presented."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from contracts.ingest import IngestEvent
from libs.postgres.query import Row
from libs.projections.projection import Connection, Projection
from services.ingest.dashboard.read_models import activity, presence
from services.ingest.dashboard.read_models.activity import Activity, Counts
from services.ingest.scans.api.responses import Client, FeedRow, Filters, Operator, State, Summary
from services.ingest.scans.domain.day import format_time, unix_ms
from services.ingest.scans.domain.filter import ScanFilter, display_name
from services.ingest.scans.read_models import scan_count, scan_log
from services.ingest.scans.read_models.conditions import filters_of
from services.ingest.settings import Settings

PROJECTIONS: Final = ("activity", "presence", "scan_log")

_format_time: Final = lru_cache(maxsize=4096)(format_time)
"""Most moments of a dashboard are presented many times."""


def projections(zone: ZoneInfo) -> Sequence[Projection[IngestEvent]]:
    """The projections of `PROJECTIONS`."""
    return activity.projection(zone), presence.projection(), scan_log.projection(zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The data of the read models. It does not depend on the current time."""

    activity: Activity
    last_seen: Mapping[str, datetime]
    feed: Sequence[Row]


async def read_overview(
    connection: Connection, scan_filter: ScanFilter, *, feed_length: int
) -> Overview:
    """Read the overview; the number of queries does not depend on the result."""
    counters = await activity.read_activity(connection, scan_filter)
    operators = list(counters.operators)
    last_seen = await presence.last_seen(connection, scan_filter.tenant, operators)
    # Without matching rows the query for the feed would read the whole day.
    feed = await _newest(connection, scan_filter, feed_length) if operators else []
    return Overview(activity=counters, last_seen=last_seen, feed=feed)


async def _newest(connection: Connection, scan_filter: ScanFilter, length: int) -> Sequence[Row]:
    if not filters_of(scan_filter):
        return await scan_log.page(connection, scan_filter, limit=length)
    _, within = await scan_count.window(connection, scan_filter, kind=None, limit=length, offset=0)
    if within is None:
        return []
    return await scan_log.page(connection, scan_filter, limit=length, within=within)


def present(
    overview: Overview,
    filters: Filters,
    settings: Settings,
    *,
    now: datetime,
    generated_at: datetime,
) -> State:
    """The state as of the instant `now`, in a response of `generated_at`.

    The two differ for a query of the past.
    """
    counters, zone = overview.activity, settings.zone
    return State(
        generated_at=generated_at.isoformat(),
        operators=_operators(
            counters,
            overview.last_seen,
            now=now,
            online_within=timedelta(seconds=settings.online_threshold_seconds),
            zone=zone,
        ),
        clients=_clients(counters),
        feed=[_feed_row(row, zone) for row in overview.feed],
        summary=_summary(counters),
        filters=filters,
        operators_list=_names(counters.operators),
        clients_list=_names(counters.clients),
        cities_list=_names(counters.cities),
    )


def _operators(
    counters: Activity,
    last_seen: Mapping[str, datetime],
    *,
    now: datetime,
    online_within: timedelta,
    zone: ZoneInfo,
) -> list[Operator]:
    """Operators: online first, then by items, then by name.

    `last_seen` holds each operator's last scan on any day. An operator that only a removal names
    is missing there and never online.
    """
    operators = [
        _operator(counters, name, last_seen.get(name), now, online_within, zone)
        for name in counters.operators
    ]
    return sorted(operators, key=lambda one: (not one.online, -one.items_today, one.operator))


def _clients(counters: Activity) -> list[Client]:
    """Clients by items, then by name."""
    clients = [
        Client(
            client=display_name(name),
            items=counts.items,
            boxes_open=counts.opens,
            boxes_close=counts.closes,
            errors=counts.errors,
            auto_closes=counts.auto_closes,
            removed=counts.removed,
        )
        for name, counts in counters.clients.items()
    ]
    return sorted(clients, key=lambda one: (-one.items, one.client))


def _summary(counters: Activity) -> Summary:
    """The sums over all clients."""
    counts = Counts(*map(sum, zip(*counters.clients.values(), strict=True)))
    return Summary(
        items=counts.items,
        opens=counts.opens,
        closes=counts.closes,
        errors=counts.errors,
        auto_closes=counts.auto_closes,
        removed=counters.removed,
    )


def _feed_row(row: Row, zone: ZoneInfo) -> FeedRow:
    """A row of `scan_log` in the feed."""
    return FeedRow(
        ts=_format_time(row["effective_at"], zone),
        operator=display_name(row["operator"]),
        type=row["kind"],
        client=display_name(row["client"]),
        city=display_name(row["city"]),
        box=display_name(row["box"]),
        code=row["code"],
        uuid=str(row["scan_id"]),
        ts_ms=unix_ms(row["effective_at"]),
        details=row["details"] or "",
    )


def _names(names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """The names without the empty one, sorted."""
    return sorted(filter(None, names))


def _operator(
    counters: Activity,
    name: str,
    seen_at: datetime | None,
    now: datetime,
    online_within: timedelta,
    zone: ZoneInfo,
) -> Operator:
    counts, last = counters.operators[name], counters.last[name]
    moment = seen_at or last.received_at
    age = max(0, (unix_ms(now) - unix_ms(moment)) // 1000)
    return Operator(
        operator=display_name(name),
        online=seen_at is not None and age <= online_within.total_seconds(),
        online_age_sec=age,
        last_seen_ms=unix_ms(moment),
        last_client=display_name(last.client),
        last_city=display_name(last.city),
        last_box=display_name(last.box),
        items_today=counts.items,
        errors_today=counts.errors,
        last_seen_at=_format_time(moment, zone),
    )
