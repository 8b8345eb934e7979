"""The log in Postgres: one writer connection per process, group commit, no lock but the index.

Concurrency rests on two unique indexes, (tenant, stream, version) and event_id. A group is
planned on what its requests expect and inserted by one statement, a transaction of its own, that
leaves nothing behind if anything it counted on is missing or taken; then it is planned again, on
what is committed. So the writer of version n + 1 has seen n committed, which is what lets the relay
keep stream order by snapshots alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import asyncpg
from prometheus_client import Counter

from libs.errors import Unavailable
from libs.eventsourcing import insertion, past, statements
from libs.eventsourcing.fact_insertion import Inseparable, insert_facts
from libs.eventsourcing.group_commit import GroupCommit, Weight
from libs.eventsourcing.insertion import Conflict
from libs.eventsourcing.log import (
    Appended,
    Entry,
    Expected,
    FactsAppended,
    LogUnavailable,
    Metadata,
    NewEvent,
    NewFact,
    RecordedEvent,
    Rejected,
    VersionConflict,
)
from libs.eventsourcing.plan import (
    Append,
    AppendFacts,
    LogPosition,
    Plan,
    Request,
    Result,
    optimistic_plan,
    plan,
)
from libs.eventsourcing.rows import recorded_event
from libs.eventsourcing.snapshot import Snapshot
from libs.failpoints import reach
from libs.postgres.guarded_pool import CLOSE_SECONDS
from libs.postgres.pool import (
    SYSTEM,
    Pool,
    acquired,
    nothing_was_set,
    open_pool,
)
from libs.postgres.rls import application_role

_Connection: TypeAlias = Any  # a pooled proxy or a plain connection

APPEND_TIMEOUT: Final = timedelta(seconds=10)
ROW_BYTES: Final = 500
"""About what a row takes beside its data."""
OPTIMISTIC_ATTEMPTS: Final = 4
ATTEMPTS: Final = 40
LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg says when it tidies up a connection that broke in the middle of a query.
    asyncpg.InternalClientError,
    asyncpg.exceptions.OperatorInterventionError,
    OSError,
    TimeoutError,
)
"""What it looks like when the database goes away in the middle."""

BUSY: Final = (
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What it looks like when the database is there and cannot: a lock in the way, no room, a
standby."""

UNFIT: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    # Too deep, or a value too long for an index.
    asyncpg.ProgramLimitExceededError,
    UnicodeError,
)
"""What the database, or the way to it, says of an event that cannot be stored."""

APPENDED: Final = Counter("tillstream_appended_events", "Events written to the log")


def _no_listener() -> None:
    """No one waits for events."""


class PostgresLog:
    """The `events` table of the schema the pools' connections look into.

    A `writer` pool of one connection of its own is for processes in which others read, so that
    their reading never holds up an append; by default `readers` serves both. `on_append` is called
    after a commit of events that were not in the log before, perhaps of many appends at once, ahead
    of their answers; it must neither raise nor wait.
    """

    def __init__(
        self,
        readers: Pool,
        writer: "Pool | None" = None,
        *,
        on_append: Callable[[], object] = _no_listener,
    ) -> None:
        self._readers = readers
        self._writer = writer or readers
        self._on_append = on_append
        self._inserted = 0
        self._group = GroupCommit[Request, Result](self._write, _weight)

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: Expected,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> Appended:
        """See `Log.append`."""
        request = Append(stream, events, expected, metadata, facts)
        reach("log-appending")
        appended = cast(Appended, await self._group.submit(request))
        reach("log-appended")
        return appended

    async def append_facts(self, facts: Sequence[NewFact], *, metadata: Metadata) -> FactsAppended:
        """See `Log.append_facts`."""
        return cast(FactsAppended, await self._group.submit(AppendFacts(facts, metadata)))

    async def find(self, event_ids: Sequence[UUID]) -> Mapping[UUID, RecordedEvent]:
        """See `Log.find`."""
        rows = await self._fetch(statements.FIND, event_ids)
        return {row["event_id"]: recorded_event(row) for row in rows}

    async def read(self, tenant: str, stream: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """See `Log.read`."""
        return [
            recorded_event(r) for r in await self._fetch(statements.READ, tenant, stream, after)
        ]

    async def read_all(
        self, *, after: int = 0, as_of: Snapshot | None = None, page: int = 1000
    ) -> AsyncIterator[Sequence[RecordedEvent]]:
        """See `Log.read_all`."""
        moment = as_of or await self.now()
        while True:
            rows = await self._fetch(statements.READ_ALL, after, str(moment), page)
            if not rows:
                return
            yield [recorded_event(row) for row in rows]
            after = rows[-1]["position"]

    async def entries(
        self, tenant: str, since: datetime, until: datetime, *, moment: Snapshot
    ) -> Sequence[Entry]:
        """See `Log.entries`."""
        return await past.entries(self._fetch, tenant, since, until, moment)

    async def later_entries(
        self,
        tenant: str,
        since: datetime,
        until: datetime,
        *,
        after: Snapshot,
        moment: Snapshot,
        also: str,
    ) -> Sequence[Entry]:
        """See `Log.later_entries`."""
        return await past.later_entries(
            self._fetch, tenant, since, until, moment, after=after, also=also
        )

    async def at(self, positions: Sequence[int]) -> Sequence[RecordedEvent]:
        """See `Log.at`."""
        return await past.at(self._fetch, positions)

    async def newest(
        self, tenant: str, streams: Sequence[str], *, known_at: datetime, each: int
    ) -> Sequence[RecordedEvent]:
        """See `Log.newest`."""
        return await past.newest(self._fetch, tenant, streams, known_at, each)

    async def now(self) -> Snapshot:
        """See `Log.now`."""
        return Snapshot.parse((await self._fetch(statements.NOW))[0][0])

    async def close(self) -> None:
        """Wait a bounded time for the writes under way; the pools stay the owner's to close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._group.flush()

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            async with acquired(self._readers) as connection:
                nothing_was_set(connection)
                return await connection.fetch(query, *arguments)
        except (Unavailable, *LOST, *BUSY) as error:
            raise LogUnavailable from error

    async def _write(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        inserted = self._inserted
        try:
            async with acquired(self._writer) as connection:
                nothing_was_set(connection)
                return await self._write_group(connection, requests)
        except (Unavailable, *LOST, *BUSY) as error:
            lost = LogUnavailable()
            lost.__cause__ = error
            return [lost] * len(requests)
        finally:
            if self._inserted != inserted:
                self._on_append()

    async def _write_group(
        self, connection: _Connection, requests: Sequence[Request]
    ) -> Sequence[Result | Exception]:
        try:
            return await self._try_group(connection, requests)
        except UNFIT as error:
            if len(requests) == 1:
                return [Rejected(f"the log cannot hold this event: {type(error).__name__}")]
        except Conflict:
            if len(requests) == 1:
                return [VersionConflict("too many others are writing to this stream")]
        except (Unavailable, *LOST, *BUSY):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is not the neighbours'
            if len(requests) == 1:
                return [error]
        # The group failed for the sake of one of them: each by itself.
        alone = [await self._write_group(connection, [request]) for request in requests]
        return [answer for answers in alone for answer in answers]

    async def _try_group(
        self, connection: _Connection, requests: Sequence[Request]
    ) -> Sequence[Result | Exception]:
        """Hope first; whoever keeps losing queues, so that nobody starves at a hot stream."""
        facts = [request for request in requests if isinstance(request, AppendFacts)]
        if len(facts) == len(requests):
            with suppress(Inseparable, asyncpg.DeadlockDetectedError):
                return await self._insert_facts(connection, facts)
        with suppress(Conflict):
            return await self._try(connection, requests, OPTIMISTIC_ATTEMPTS)
        heads = sorted({r.head for r in requests if isinstance(r, Append)})
        async with connection.transaction():
            await connection.execute(statements.QUEUE, [*map("/".join, heads)])
            return await self._try(connection, requests, ATTEMPTS)

    async def _insert_facts(
        self, connection: _Connection, requests: Sequence[AppendFacts]
    ) -> Sequence[Result | Exception]:
        written = await insert_facts(connection, requests)
        if (inserted := written.inserted) is None:
            self._count(len(written.entries))
            return written.answers(requests)
        self._count(len(inserted))
        planned = plan(requests, {}, {})
        return await _answers(connection, planned, inserted)

    async def _try(
        self, connection: _Connection, requests: Sequence[Request], attempts: int
    ) -> Sequence[Result | Exception]:
        planned = optimistic_plan(requests)
        for _ in range(attempts):
            if planned is None:
                planned = await insertion.plan_from_committed(connection, requests)
            try:
                inserted = await insertion.insert(connection, planned)
            except (Conflict, asyncpg.DeadlockDetectedError):
                planned = None
                continue
            self._count(len(inserted))
            return await _answers(connection, planned, inserted)
        raise Conflict

    def _count(self, inserted: int) -> None:
        APPENDED.inc(inserted)
        self._inserted += inserted


async def _answers(
    connection: _Connection, planned: Plan, inserted: Mapping[UUID, LogPosition]
) -> Sequence[Result | Exception]:
    # Nearly always everything is new.
    is_all = len(inserted) == len(planned.rows)
    skipped = set() if is_all else planned.fact_ids - inserted.keys()
    return planned.answers(inserted, *await insertion.positions(connection, skipped))


@asynccontextmanager
async def open_log(
    readers: Pool, dsn: str, service: str, *, on_append: Callable[[], object] = _no_listener
) -> AsyncIterator[PostgresLog]:
    """The log of a service, writing on a connection of its own. Raises Unavailable."""
    writer = await open_pool(
        dsn,
        role=application_role(service),
        schema=service,
        size=1,
        application_name=f"{service} writer",
        tenant_scope=SYSTEM,
        # Everybody waits behind the append under way.
        statement_timeout=APPEND_TIMEOUT,
        # Each is a look into an index, whatever is appended.
        plans_once=True,
        connects=False,
    )
    log = PostgresLog(readers, writer, on_append=on_append)
    try:
        yield log
    finally:
        await log.close()
        await writer.close()


def _weight(request: Request) -> Weight:
    events: Sequence[NewEvent] = () if isinstance(request, AppendFacts) else request.events
    size = sum([len(each.data) for each in (*events, *request.facts)])
    rows = len(events) + len(request.facts)
    return Weight(rows, size + rows * ROW_BYTES)
