"""What was known at an earlier instant?

The log is read as far as it had recorded by then, and the very same projections write it into
temporary tables under the very same names. So the past is answered by the rules of the present,
and the two cannot disagree. Work and space grow with the events of the days asked for; what is kept
of them (`kept_past`) makes the next question about the same days cheap.
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
from services.ingest.dashboard.read_models.kept_past import KeptDays, KeptPast, Tables
from services.ingest.dashboard.read_models.timeline import Timeline
from services.ingest.removals.read_models.undone import any_undone, remaining, runs_of
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.day import Days
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models import operator_name, scan_log

PAGE: Final = 1000
LATER: Final = timedelta(minutes=5)
"""A removal stands in the log under the time of its appending, a moment after what it says."""
SKEW: Final = timedelta(seconds=2)
"""How far the clocks that say `received_at` and `recorded_at` may be apart."""
LOOKS: Final = (8, 50, PAGE)
"""How many facts of an operator are read until it is certain which was received last."""
SCAN, ITEM_REMOVED = ScanRecorded.__name__, ItemRemoved.__name__

ChooseRows: TypeAlias = Callable[[Connection, Timeline, int], Awaitable[Sequence[int]]]
"""Given the other read models as they were, a timeline and how many events of it count: the
positions of the events whose rows of `scan_log` are asked for, or of more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """The instant `at`, looked back at by `tenant`; days begin in `zone`."""

    store: EventStore[IngestEvent]
    tenant: str
    at: datetime
    zone: ZoneInfo

    def envelope(self, recorded: RecordedEvent) -> Envelope[IngestEvent]:
        """The event as a projection gets it."""
        return envelope(recorded, self.store.decode(recorded))


def newest_rows(question: ScanFilter, limit: int) -> ChooseRows:
    """The newest rows that match."""

    async def choose(_: Connection, timeline: Timeline, count: int) -> Sequence[int]:
        return timeline.newest(count, question, limit)

    return choose


def items_of_boxes(question: ScanFilter, *, limit: int, offset: int, items: int) -> ChooseRows:
    """The items which the boxes of a page list: see `box.answer`."""

    async def choose(connection: Connection, timeline: Timeline, count: int) -> Sequence[int]:
        found = await box.answer(connection, question, limit=limit, offset=offset)
        listed = {(one.day, one.client, one.city, one.label): items for one in found.boxes}
        return timeline.contents(count, question, listed)

    return choose


@asynccontextmanager
async def known(
    pool: Pool,
    past: Past,
    projections: Sequence[Projection[IngestEvent]],
    days: Days,
    *,
    kept: KeptPast,
    rows: ChooseRows | None = None,
) -> AsyncIterator[Connection]:
    """A transaction in which the tables of `projections` hold what was known of `days`.

    And of whatever day when their operators had been heard of last, if `presence` is among them;
    of `scan_log`, if it is, the `rows` asked for. Nothing that is written outlives the
    transaction. Raises Unavailable.
    """
    models = [model for model in projections if model.name != scan_log.SCAN_LOG.name]
    async with tenant_transaction(pool, past.tenant) as connection:
        schema = await _copy_empty(connection, projections)
        async with kept.of(past.tenant, days, [one.name for one in models], past.zone) as kept_days:
            await _read_on(connection, past, days, kept_days)
            count = kept_days.timeline.count_at(past.at)
            await _bring_to(connection, past, models, kept_days, count)
            operators = kept_days.timeline.operators(count)
            chosen = await rows(connection, kept_days.timeline, count) if rows else []
        await scan_log.project(connection, await _events(connection, past, chosen), zone=past.zone)
        # Names are of whatever day, and these alone are shown.
        found = await operator_name.known(
            connection, past.tenant, operators, schema=schema, at=past.at
        )
        await operator_name.store(connection, found)
        if any(model.name == presence.PRESENCE.name for model in models):
            await _hear(connection, past, operators)
        yield connection


async def _read_on(connection: Connection, past: Past, days: Days, kept_days: KeptDays) -> None:
    """Let the timeline have everything that is in the log by now, whenever it was recorded."""
    if await any_undone(connection, kept_days.runs):
        kept_days.clear()
    since, until = days.instants(past.zone)
    moment = await past.store.log.now()
    if kept_days.moment is None:
        entries = await _all(past, since, until + LATER, moment)
    else:
        entries = await _later(past, since, until + LATER, kept_days.moment, moment)
    kept_days.cut(kept_days.timeline.add(entries))
    kept_days.moment = moment


async def _all(past: Past, since: datetime, until: datetime, moment: Snapshot) -> list[Entry]:
    """Everything about these days, the removals of their items among it."""
    log = past.store.log
    found = await log.entries(past.tenant, since, until, moment=moment)
    # Those in between are about items of these days, and found by them, or of other days.
    entries = [entry for entry in found if entry.type != ITEM_REMOVED]
    scans = [entry.event_id for entry in entries if entry.type == SCAN]
    for start in range(0, len(scans), PAGE):
        removals = [identity.removal_of(scan) for scan in scans[start : start + PAGE]]
        entries += [
            Entry(one.position, one.event_id, one.type, one.recorded_at)
            for one in (await log.find(removals)).values()
            if moment.sees(one.xid)
        ]
    return sorted(entries, key=lambda entry: entry.recorded_at)


async def _later(
    past: Past, since: datetime, until: datetime, after: Snapshot, moment: Snapshot
) -> list[Entry]:
    """The same of what was added to the log since it was read."""
    log = past.store.log
    found = await log.later_entries(
        past.tenant, since, until, after=after, moment=moment, also=ITEM_REMOVED
    )
    removals = [entry.position for entry in found if entry.type == ITEM_REMOVED]
    elsewhere = {
        recorded.position
        for recorded in (await log.at(removals) if removals else [])
        if not since <= _removed_from(past.store.decode(recorded)) < until
    }
    return [entry for entry in found if entry.position not in elsewhere]


def _removed_from(event: IngestEvent) -> datetime:
    """When the scan occurred that was removed."""
    assert isinstance(event, ItemRemoved)  # noqa: S101 -- narrows for the type checker
    return event.scan.effective_at


async def _bring_to(
    connection: Connection,
    past: Past,
    models: Sequence[Projection[IngestEvent]],
    kept_days: KeptDays,
    count: int,
) -> None:
    """Fill the empty tables with the first `count` events, from the nearest state that is kept."""
    at, state = kept_days.nearest(count)
    for table, rows in state.items():
        await connection.copy_to_table(table, source=BytesIO(rows), format="binary")
    async with aclosing(_pages(past, kept_days, at, count)) as pages:
        async for page in pages:
            left = await remaining(connection, [past.envelope(one) for one in page])
            events = {one.event_id: one.event for one in left}
            for n, recorded in enumerate(page, at):
                kept_days.timeline.describe(n, events.get(recorded.event_id))
            kept_days.runs |= runs_of(left)
            for model in models:
                await model.project(connection, left)
            at += len(page)
            if at % kept_days.step == 0 and at not in kept_days.states:
                kept_days.put(at, await _rows(connection, models))


async def _pages(
    past: Past, kept_days: KeptDays, at: int, count: int
) -> AsyncGenerator[list[RecordedEvent], None]:
    """The events from the `at`-th to before the `count`-th, in pages that end where states are
    kept; the next one is read while one is applied.
    """
    positions = kept_days.timeline.positions[:count]
    starts = [at, *range(at - at % kept_days.step + kept_days.step, count, kept_days.step)]
    cut = [positions[a:b] for a, b in zip(starts, [*starts[1:], count], strict=True)]
    coming = asyncio.create_task(_recorded(past, cut[0]))
    try:
        for following in [*cut[1:], []]:
            page = await coming
            coming = asyncio.create_task(_recorded(past, following))
            if page:
                yield page
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _events(
    connection: Connection, past: Past, positions: Sequence[int]
) -> Sequence[Envelope[IngestEvent]]:
    recorded = await _recorded(past, positions)
    return await remaining(connection, [past.envelope(one) for one in recorded])


async def _recorded(past: Past, positions: Sequence[int]) -> list[RecordedEvent]:
    found: list[RecordedEvent] = []
    for start in range(0, len(positions), PAGE):
        found += await past.store.log.at(positions[start : start + PAGE])
    return found


async def _rows(connection: Connection, models: Sequence[Projection[IngestEvent]]) -> Tables:
    """All rows of the read models."""
    rows: dict[str, bytes] = {}
    for table in sorted({table for model in models for table in model.tables}):
        written = BytesIO()
        await connection.copy_from_query(f"TABLE {table}", output=written, format="binary")
        rows[table] = written.getvalue()
    return rows


async def _hear(connection: Connection, past: Past, operators: Iterable[str]) -> None:
    """Let `presence` know when `operators` had been heard of last.

    Nothing was received after it was recorded. So, going back from the last recorded, the search
    is over with what was recorded before the latest receipt found so far. If an import adds
    thousands of old scans at once, the search ends with them.
    """
    namespace = identity.namespace(past.tenant)
    spellings = await operator_name.spellings_of(connection, past.tenant, operators)
    streams = sorted(
        {
            stream
            for name in spellings.union(operators)
            for stream in identity.scan_streams(namespace, name)
        }
    )
    for each in LOOKS:
        undecided: list[str] = []
        at_once = max(1, PAGE // each)
        for some in (streams[n : n + at_once] for n in range(0, len(streams), at_once)):
            found = await past.store.log.newest(past.tenant, some, known_at=past.at, limit=each)
            events = [past.envelope(recorded) for recorded in found]
            await presence.project(connection, await remaining(connection, events))
            undecided += [
                stream
                for stream, facts in groupby(events, key=lambda event: event.stream)
                if _may_go_on(list(facts), each)
            ]
        streams = undecided


def _may_go_on(facts: Sequence[Envelope[IngestEvent]], each: int) -> bool:
    """Whether a stream may hold a later sign of life than the ones among its last facts."""
    heard = [life[1] for fact in facts if (life := presence.sign_of_life(fact.event))]
    return len(facts) == each and (not heard or max(heard) < facts[-1].recorded_at + SKEW)


async def _copy_empty(
    connection: Connection, projections: Sequence[Projection[IngestEvent]]
) -> str:
    """Put empty tables before the real ones; the schema of these."""
    # Said aloud, so that a statement prepared for the real tables is prepared anew for these.
    schema: str = await connection.fetchval("SELECT current_schema()")
    tables = {table for projection in projections for table in projection.tables}
    for table in sorted(tables | {operator_name.OPERATOR_NAME.name}):
        await connection.execute(
            f"CREATE TEMPORARY TABLE {table} (LIKE {schema}.{table} INCLUDING ALL) ON COMMIT DROP"
        )
    await connection.execute(f"SET LOCAL search_path = pg_temp, {schema}")
    return schema
