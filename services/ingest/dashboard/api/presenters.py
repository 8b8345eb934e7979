"""From what the read models know to what clients read."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from libs.postgres.query import Row
from services.ingest.dashboard.read_models.activity import Activity, Counts
from services.ingest.scans.api.answers import (
    Client,
    FeedRow,
    Operator,
    Summary,
)
from services.ingest.scans.domain.day import unix_ms, written
from services.ingest.scans.domain.filter import display_name

_written: Final = lru_cache(maxsize=4096)(written)
"""Dashboards ask for the same moments again and again."""


def operators(
    found: Activity,
    seen: Mapping[str, datetime],
    *,
    now: datetime,
    online_within: timedelta,
    zone: ZoneInfo,
) -> list[Operator]:
    """Operators, those online first, then by items, then by name.

    `seen` holds the last scan of each, on any day. An operator whom only a removal names is not
    in `seen` and never online.
    """
    worded = [
        _operator(found, name, seen.get(name), now, online_within, zone) for name in found.operators
    ]
    return sorted(worded, key=lambda one: (not one.online, -one.items_today, one.operator))


def clients(found: Activity) -> list[Client]:
    """Clients by items, then by name."""
    worded = [
        Client(
            client=display_name(name),
            items=counts.items,
            boxes_open=counts.opens,
            boxes_close=counts.closes,
            errors=counts.errors,
            auto_closes=counts.auto_closes,
            removed=counts.removed,
        )
        for name, counts in found.clients.items()
    ]
    return sorted(worded, key=lambda one: (-one.items, one.client))


def summary(found: Activity) -> Summary:
    """Everything added up."""
    counts = Counts(*map(sum, zip(*found.clients.values(), strict=True)))
    return Summary(
        items=counts.items,
        opens=counts.opens,
        closes=counts.closes,
        errors=counts.errors,
        auto_closes=counts.auto_closes,
        removed=found.removed,
    )


def feed_row(row: Row, zone: ZoneInfo) -> FeedRow:
    """A row of `scan_log` as the feed shows it."""
    return FeedRow(
        ts=_written(row["effective_at"], zone),
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


def names(found: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Those that are not empty, sorted."""
    return sorted(filter(None, found))


def _operator(
    found: Activity,
    name: str,
    seen_at: datetime | None,
    now: datetime,
    online_within: timedelta,
    zone: ZoneInfo,
) -> Operator:
    counts, last = found.operators[name], found.last[name]
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
        last_seen_at=_written(moment, zone),
    )
