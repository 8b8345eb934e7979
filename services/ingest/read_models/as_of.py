"""What was known at an earlier instant?

The log tells again what it had recorded by then, and the very same projections write it into
temporary tables under the very same names. So the past is answered by the rules of the present,
and the two cannot disagree. Work and space grow with the events of the days asked for.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.envelope import Envelope
from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanRecorded
from libs.eventsourcing.log import RecordedEvent, Span
from libs.eventsourcing.store import EventStore, envelope
from libs.names import comparable
from libs.postgres.pool import Pool, tenant_transaction
from libs.projections.projection import Connection, Projection
from services.ingest.domain import identity
from services.ingest.domain.day import Days, day_of
from services.ingest.domain.question import Question
from services.ingest.domain.removal import ITEM, as_scan
from services.ingest.read_models import operator_name, presence, scan_log
from services.ingest.read_models.undone import remaining

PAGE: Final = 1000
LATER: Final = timedelta(minutes=5)
"""A removal stands in the log under the time of its appending, a moment after what it says."""
SKEW: Final = timedelta(seconds=2)
"""How far the clocks that say `received_at` and `recorded_at` may be apart."""
LOOKS: Final = (50, PAGE)
"""How many facts of an operator are looked at until it is certain which was received last."""


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


@dataclass(frozen=True, slots=True)
class Newest:
    """That of `scan_log` only the newest rows which a question asks for will be read."""

    question: Question
    limit: int
    zone: ZoneInfo

    def among(self, events: Sequence[Envelope[IngestEvent]]) -> list[Envelope[IngestEvent]]:
        """Those of `events` that become these rows, if every removal stands beside its scan."""
        removed = {
            event.scan.scan_id
            for event in (told.event for told in events)
            if isinstance(event, ItemRemoved)
        }
        rows = (
            ((scan.received_at, scan.scanned_at, -scan.scan_id.int), told)
            for told in events
            if (scan := _row(told.event)) and scan.scan_id not in removed and self._asks(scan)
        )
        return [told for _, told in nlargest(self.limit, rows, key=itemgetter(0))]

    def _asks(self, scan: ScanRecorded) -> bool:
        asked = self.question
        return (
            asked.days.first <= day_of(scan.effective_at, self.zone) <= asked.days.last
            and asked.operator in (None, comparable(scan.operator))
            and asked.client in (None, scan.client)
            and asked.city in (None, scan.city)
        )


@asynccontextmanager
async def known(
    pool: Pool,
    past: Past,
    projections: Sequence[Projection[IngestEvent]],
    days: Days,
    *,
    newest: Newest | None = None,
) -> AsyncIterator[Connection]:
    """A transaction in which the tables of `projections` hold what was known of `days`.

    And of whatever day when their operators had been heard of last, if `presence` is among them;
    of `scan_log` perhaps `newest` only. Nothing that is written outlives the transaction. Raises
    Unavailable.
    """
    async with tenant_transaction(pool, past.tenant) as connection:
        schema = await _copy_empty(connection, projections)
        operators: set[str] = set()
        rows: list[Envelope[IngestEvent]] = []
        async for page in _told(past, days):
            events = await remaining(connection, page)
            scans = [scan for told in events if (scan := _row(told.event))]
            operators.update(comparable(scan.operator) for scan in scans)
            if newest:
                rows = newest.among([*rows, *events])
            for projection in projections:
                if not newest or projection.name != scan_log.SCAN_LOG.name:
                    await projection.project(connection, events)
        await scan_log.project(connection, rows, zone=past.zone)
        # Names are of whatever day, and these alone are shown.
        found = await operator_name.known(
            connection, past.tenant, operators, schema=schema, at=past.at
        )
        await operator_name.keep(connection, found)
        if any(projection.name == presence.PRESENCE.name for projection in projections):
            await _hear(connection, past, operators)
        yield connection


async def _hear(connection: Connection, past: Past, operators: Iterable[str]) -> None:
    """Let `presence` know when `operators` had been heard of last.

    Nothing was received after it was recorded. So, going back from the last recorded, the search
    is over with what was recorded before the latest receipt found so far. If somebody imports
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
            found = await past.store.log.newest(past.tenant, some, known_at=past.at, each=each)
            events = [past.envelope(recorded) for recorded in found]
            await presence.project(connection, await remaining(connection, events))
            undecided += [
                stream
                for stream, facts in groupby(events, key=lambda event: event.stream)
                if _may_go_on(list(facts), each)
            ]
        streams = undecided


def _row(event: IngestEvent) -> ScanRecorded | None:
    """What an event adds to `scan_log`."""
    if isinstance(event, RemovalRecorded):
        return as_scan(event)
    return event if isinstance(event, ScanRecorded) else None


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


async def _told(past: Past, days: Days) -> AsyncIterator[list[Envelope[IngestEvent]]]:
    """Everything about these days that was known, each removal right behind what it removed."""
    since, until = days.instants(past.zone)
    span = Span(since=since, until=until + LATER, known_at=past.at)
    async for page in past.store.log.read_occurred(past.tenant, span, page=PAGE):
        told = [past.envelope(recorded) for recorded in page]
        # Those in between are about items of these days, and found by them, or of other days.
        events = [event for event in told if not isinstance(event.event, ItemRemoved)]
        removals = await past.store.log.find(list(_removals(events)))
        yield events + [
            past.envelope(recorded)
            for recorded in removals.values()
            if recorded.recorded_at <= past.at
        ]


def _removals(events: Sequence[Envelope[IngestEvent]]) -> Iterator[UUID]:
    """The ids under which the removals of these items are in the log, if they are."""
    for event in events:
        scan = event.event
        if isinstance(scan, ScanRecorded) and scan.kind == ITEM:
            yield identity.removal_of(event.event_id)
