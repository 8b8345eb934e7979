"""What was known at an earlier instant?

The events recorded by then are read from the log, and the usual projections write them into
temporary tables with the usual names. So a query of the past follows the same rules as one of the
present. Its work grows with the events of its days; a cache (`dashboard/stores.py`) makes the next
query of the same days cheap.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from itertools import groupby
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ItemRemoved, ScanRecorded
from libs.eventsourcing.log import Entry, RecordedEvent
from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.store import EventStore, envelope
from libs.postgres.pool import Pool, tenant_transaction
from libs.projections.projection import Connection, Projection
from services.ingest.dashboard.read_models import box, presence
from services.ingest.dashboard.read_models.timeline import Timeline
from services.ingest.dashboard.stores import CachedDays, PastCache, Tables
from services.ingest.removals.read_models.undone import any_undone, remaining, runs_of
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.day import Days
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models import operator_name, scan_log

PAGE: Final = 1000
LATER: Final = timedelta(minutes=5)
"""A removal is recorded a moment after its `removed_at`."""
SKEW: Final = timedelta(seconds=2)
"""The largest difference between the clocks of `received_at` and `recorded_at`."""
PRESENCE_DEPTHS: Final = (8, 50, PAGE)
"""How many facts of an operator are read, in turn, until the last received one is certain."""
SCAN, ITEM_REMOVED = ScanRecorded.__name__, ItemRemoved.__name__

SelectRows: TypeAlias = Callable[[Connection, Timeline, int], Awaitable[Sequence[int]]]
"""Selects rows of `scan_log`: from a connection to the other read models at the instant, a timeline
and the number of its events by then, the positions of the rows' events (or of more events)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AsOf:
    """The log of a tenant at the instant `at`; days are of `zone`."""

    store: EventStore[IngestEvent]
    tenant: str
    at: datetime
    zone: ZoneInfo

    def envelope(self, recorded: RecordedEvent) -> Envelope[IngestEvent]:
        """The envelope that a projection receives."""
        return envelope(recorded, self.store.decode(recorded))


def newest_rows(scan_filter: ScanFilter, limit: int) -> SelectRows:
    """Selects the newest rows that match."""

    async def select(_: Connection, timeline: Timeline, count: int) -> Sequence[int]:
        return timeline.newest(count, scan_filter, limit)

    return select


def items_of_boxes(scan_filter: ScanFilter, *, limit: int, offset: int, items: int) -> SelectRows:
    """Selects the items of the boxes on a page: see `box.read_boxes`."""

    async def select(connection: Connection, timeline: Timeline, count: int) -> Sequence[int]:
        page = await box.read_boxes(connection, scan_filter, limit=limit, offset=offset)
        keys = {(one.day, one.client, one.city, one.label): items for one in page.boxes}
        return timeline.contents(count, scan_filter, keys)

    return select


@asynccontextmanager
async def tables_as_of(
    pool: Pool,
    as_of: AsOf,
    projections: Sequence[Projection[IngestEvent]],
    days: Days,
    *,
    cache: PastCache,
    select_rows: SelectRows | None = None,
) -> AsyncIterator[Connection]:
    """A transaction in which the tables of `projections` hold what was known of `days`.

    `scan_log` holds only the rows of `select_rows`; `presence` the last scans of the operators of
    these days, on any day. The tables are temporary and end with the transaction. Raises
    Unavailable.
    """
    models = [model for model in projections if model.name != scan_log.SCAN_LOG.name]
    async with tenant_transaction(pool, as_of.tenant) as connection:
        schema = await _copy_empty(connection, projections)
        async with cache.hold(
            as_of.tenant, days, [one.name for one in models], as_of.zone
        ) as cached:
            await _extend_timeline(connection, as_of, days, cached)
            count = cached.timeline.count_at(as_of.at)
            await _fill_tables(connection, as_of, models, cached, count)
            operators = cached.timeline.operators(count)
            positions = await select_rows(connection, cached.timeline, count) if select_rows else []
        await scan_log.project(
            connection, await _events(connection, as_of, positions), zone=as_of.zone
        )
        # Spellings of any day, of the operators that the query can show.
        spellings = await operator_name.spellings_at(
            connection, as_of.tenant, operators, schema=schema, at=as_of.at
        )
        await operator_name.store(connection, spellings)
        if any(model.name == presence.PRESENCE.name for model in models):
            await _fill_presence(connection, as_of, operators)
        yield connection


async def _extend_timeline(
    connection: Connection, as_of: AsOf, days: Days, cached: CachedDays
) -> None:
    """Bring the timeline up to date with the log; clear it if an import was undone."""
    if await any_undone(connection, cached.runs):
        cached.clear()
    since, until = days.instants(as_of.zone)
    moment = await as_of.store.log.now()
    if cached.moment is None:
        entries = await _all_entries(as_of, since, until + LATER, moment)
    else:
        entries = await _new_entries(as_of, since, until + LATER, cached.moment, moment)
    cached.truncate(cached.timeline.add(entries))
    cached.moment = moment


async def _all_entries(
    as_of: AsOf, since: datetime, until: datetime, moment: Snapshot
) -> list[Entry]:
    """The entries of these days, with the removals of their items."""
    log = as_of.store.log
    recorded = await log.entries(as_of.tenant, since, until, moment=moment)
    # Removals in this range may be of items of other days; those of these days are found below.
    entries = [entry for entry in recorded if entry.type != ITEM_REMOVED]
    scans = [entry.event_id for entry in entries if entry.type == SCAN]
    for start in range(0, len(scans), PAGE):
        removals = [identity.removal_of(scan) for scan in scans[start : start + PAGE]]
        entries += [
            Entry(one.position, one.event_id, one.type, one.recorded_at)
            for one in (await log.find(removals)).values()
            if moment.sees(one.xid)
        ]
    return sorted(entries, key=lambda entry: entry.recorded_at)


async def _new_entries(
    as_of: AsOf, since: datetime, until: datetime, after: Snapshot, moment: Snapshot
) -> list[Entry]:
    """The entries of these days that were appended since `after`."""
    log = as_of.store.log
    entries = await log.entries(
        as_of.tenant, since, until, moment=moment, after=after, also=ITEM_REMOVED
    )
    removals = [entry.position for entry in entries if entry.type == ITEM_REMOVED]
    elsewhere = {
        recorded.position
        for recorded in (await log.at(removals) if removals else [])
        if not since <= _scan_time(as_of.store.decode(recorded)) < until
    }
    return [entry for entry in entries if entry.position not in elsewhere]


def _scan_time(event: IngestEvent) -> datetime:
    """The effective time of the removed scan."""
    assert isinstance(event, ItemRemoved)  # noqa: S101 -- narrows for the type checker
    return event.scan.effective_at


async def _fill_tables(
    connection: Connection,
    as_of: AsOf,
    models: Sequence[Projection[IngestEvent]],
    cached: CachedDays,
    count: int,
) -> None:
    """Apply the first `count` events to the empty tables, from the nearest cached state."""
    at, state = cached.nearest(count)
    for table, rows in state.items():
        await connection.copy_to_table(table, source=BytesIO(rows), format="binary")
    async with aclosing(_pages(as_of, cached, at, count)) as pages:
        async for page in pages:
            left = await remaining(connection, [as_of.envelope(one) for one in page])
            events = {one.event_id: one.event for one in left}
            for n, recorded in enumerate(page, at):
                cached.timeline.describe(n, events.get(recorded.event_id))
            cached.runs |= runs_of(left)
            for model in models:
                await model.project(connection, left)
            at += len(page)
            if at % cached.step == 0 and at not in cached.states:
                cached.put(at, await _rows(connection, models))


async def _pages(
    as_of: AsOf, cached: CachedDays, at: int, count: int
) -> AsyncGenerator[list[RecordedEvent], None]:
    """The events from number `at` to before `count`, in pages that end where states are cached.

    The next page is read while one is applied.
    """
    positions = cached.timeline.positions[:count]
    starts = [at, *range(at - at % cached.step + cached.step, count, cached.step)]
    pages = [positions[a:b] for a, b in zip(starts, [*starts[1:], count], strict=True)]
    coming = asyncio.create_task(_recorded(as_of, pages[0]))
    try:
        for following in [*pages[1:], []]:
            page = await coming
            coming = asyncio.create_task(_recorded(as_of, following))
            if page:
                yield page
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _events(
    connection: Connection, as_of: AsOf, positions: Sequence[int]
) -> Sequence[Envelope[IngestEvent]]:
    recorded = await _recorded(as_of, positions)
    return await remaining(connection, [as_of.envelope(one) for one in recorded])


async def _recorded(as_of: AsOf, positions: Sequence[int]) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    for start in range(0, len(positions), PAGE):
        events += await as_of.store.log.at(positions[start : start + PAGE])
    return events


async def _rows(connection: Connection, models: Sequence[Projection[IngestEvent]]) -> Tables:
    """The rows of the read models, by table."""
    rows: dict[str, bytes] = {}
    for table in sorted({table for model in models for table in model.tables}):
        copied = BytesIO()
        await connection.copy_from_query(f"TABLE {table}", output=copied, format="binary")
        rows[table] = copied.getvalue()
    return rows


async def _fill_presence(connection: Connection, as_of: AsOf, operators: Iterable[str]) -> None:
    """Fill `presence` with the last scan of each of `operators`, on any day.

    No event is received after it is recorded. So the search goes back from the last recorded
    event and ends at one that was recorded before the latest receive time so far. It reads at most
    `PRESENCE_DEPTHS[-1]` events of a stream, even if an import recorded more old scans at once.
    """
    namespace = identity.namespace(as_of.tenant)
    streams = sorted({identity.scan_stream(namespace, name) for name in operators})
    for depth in PRESENCE_DEPTHS:
        undecided: list[str] = []
        at_once = max(1, PAGE // depth)
        for page in (streams[n : n + at_once] for n in range(0, len(streams), at_once)):
            newest = await as_of.store.log.newest(
                as_of.tenant, page, known_at=as_of.at, limit=depth
            )
            events = [as_of.envelope(recorded) for recorded in newest]
            await presence.project(connection, await remaining(connection, events))
            undecided += [
                stream
                for stream, facts in groupby(events, key=lambda event: event.stream)
                if _may_continue(list(facts), depth)
            ]
        streams = undecided


def _may_continue(facts: Sequence[Envelope[IngestEvent]], depth: int) -> bool:
    """Whether events before the last `facts` of a stream may have a later receive time."""
    received = [life[1] for fact in facts if (life := presence.sign_of_life(fact.event))]
    return len(facts) == depth and (not received or max(received) < facts[-1].recorded_at + SKEW)


async def _copy_empty(
    connection: Connection, projections: Sequence[Projection[IngestEvent]]
) -> str:
    """Create empty temporary tables that hide the real ones; the schema of the real ones."""
    # Setting the search path also invalidates statements prepared for the real tables.
    schema: str = await connection.fetchval("SELECT current_schema()")
    tables = {table for projection in projections for table in projection.tables}
    for table in sorted(tables | {operator_name.OPERATOR_NAME.name}):
        await connection.execute(
            f"CREATE TEMPORARY TABLE {table} (LIKE {schema}.{table} INCLUDING ALL) ON COMMIT DROP"
        )
    await connection.execute(f"SET LOCAL search_path = pg_temp, {schema}")
    return schema
