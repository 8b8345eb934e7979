"""The dashboard at a glance: what is looked up for it, and how that is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from contracts.ingest import IngestEvent
from libs.postgres.query import Row
from libs.projections.projection import Connection, Projection
from services.ingest.dashboard.api import presenters
from services.ingest.dashboard.read_models import activity, presence
from services.ingest.dashboard.read_models.activity import Activity
from services.ingest.scans.api.answers import Filters, State
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models import scan_count, scan_log
from services.ingest.scans.read_models.conditions import filters_of
from services.ingest.settings import Settings

PROJECTIONS: Final = ("activity", "presence", "scan_log")


def projections(zone: ZoneInfo) -> Sequence[Projection[IngestEvent]]:
    """The read models it is looked up in: those of `PROJECTIONS`."""
    return activity.projection(zone), presence.projection(), scan_log.projection(zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What is in the read models; nothing in it changes by time alone."""

    activity: Activity
    seen: Mapping[str, datetime]
    feed: Sequence[Row]


async def read_overview(
    connection: Connection, question: ScanFilter, *, feed_length: int
) -> Overview:
    """Ask the read models, in a number of queries that does not depend on the answer."""
    found = await activity.answer(connection, question)
    seen = await presence.last_seen(connection, question.tenant, list(found.operators))
    # Looking for what is not there would read the whole day.
    feed = await _newest(connection, question, feed_length) if found.operators else []
    return Overview(activity=found, seen=seen, feed=feed)


async def _newest(connection: Connection, question: ScanFilter, length: int) -> Sequence[Row]:
    if not filters_of(question):
        return await scan_log.page(connection, question, limit=length)
    _, within = await scan_count.window(connection, question, kind=None, limit=length, offset=0)
    if within is None:
        return []
    return await scan_log.page(connection, question, limit=length, within=within)


def present(
    overview: Overview, filters: Filters, settings: Settings, *, now: datetime, told_at: datetime
) -> State:
    """The dashboard as it stands `now`, told at `told_at`: an instant later unless it is past."""
    found, zone = overview.activity, settings.zone
    return State(
        generated_at=told_at.isoformat(),
        operators=presenters.operators(
            found,
            overview.seen,
            now=now,
            online_within=timedelta(seconds=settings.online_threshold_seconds),
            zone=zone,
        ),
        clients=presenters.clients(found),
        feed=[presenters.feed_row(row, zone) for row in overview.feed],
        summary=presenters.summary(found),
        filters=filters,
        operators_list=presenters.names(found.operators),
        clients_list=presenters.names(found.clients),
        cities_list=presenters.names(found.cities),
    )
