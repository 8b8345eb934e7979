"""The log in Postgres: one writer connection per process, group commit, no locks but the indexes.

Concurrency control is optimistic, with the unique indexes on (tenant, stream, version) and on
event_id. A group is planned with the versions that its requests expect and inserted by one
statement in a transaction of its own, which writes nothing if an assumption fails; then it is
planned again from the committed state. So the writer of version n + 1 has seen n committed, which
lets the relay keep the order of streams by snapshots alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import asyncpg
from prometheus_client import Counter

from libs.errors import Unavailable
from libs.eventsourcing import insertion, past
from libs.eventsourcing.group_commit import GroupCommit, Weight
from libs.eventsourcing.insertion import Conflict, NotSeparable
from libs.eventsourcing.log import (
    Appended,
    AppendedStreams,
    Entry,
    Expected,
    FactsAppended,
    LogUnavailable,
    Metadata,
    NewEvent,
    NewFact,
    RecordedEvent,
    Rejected,
    StreamAppend,
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
from libs.eventsourcing.rows import COLUMNS, recorded_events
from libs.eventsourcing.snapshot import Snapshot
from libs.failpoints import failpoint
from libs.postgres import locks
from libs.postgres.guarded_pool import CLOSE_SECONDS
from libs.postgres.locks import AdvisoryLock
from libs.postgres.pool import (
    SYSTEM,
    Pool,
    acquire,
    open_pool,
    skip_session_reset,
)
from libs.postgres.rls import application_role

_Connection: TypeAlias = Any  # a pooled proxy or a plain connection

APPEND_TIMEOUT: Final = timedelta(seconds=10)
ROW_BYTES: Final = 500
"""The approximate size of a row without its data."""
OPTIMISTIC_ATTEMPTS: Final = 4
ATTEMPTS: Final = 40
LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # From asyncpg's cleanup of a connection that broke during a query.
    asyncpg.InternalClientError,
    asyncpg.exceptions.OperatorInterventionError,
    OSError,
    TimeoutError,
)
"""Errors of a database that becomes unavailable during a call."""

BUSY: Final = (
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""Errors of a database that answers but cannot write: a lock, no resources, a standby."""

UNFIT: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    # Too deep, or a value too long for an index.
    asyncpg.ProgramLimitExceededError,
    UnicodeError,
)
"""Errors that mean that an event cannot be stored."""

APPENDED: Final = Counter("tillstream_appended_events", "Events written to the log")


_FIND: Final = f"SELECT {COLUMNS} FROM events WHERE event_id = ANY($1::uuid[])"  # noqa: S608

_READ: Final = f"""
SELECT {COLUMNS} FROM events
WHERE tenant = $1 AND stream = $2 AND version > $3
ORDER BY version
"""  # noqa: S608

READ_STREAMS: Final = f"""
SELECT found.* FROM unnest($2::text[], $3::int[]) AS given (stream, version),
LATERAL (
    SELECT {COLUMNS} FROM events
    WHERE events.tenant = $1 AND events.stream = given.stream AND events.version > given.version
    ORDER BY events.version OFFSET 0 -- a look-up a stream, also without statistics of tenants
) AS found
UNION ALL {_FIND.replace("$1", "$4")}
"""  # noqa: S608

READ_ALL: Final = f"""
SELECT {COLUMNS} FROM events
WHERE position > $1 AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
ORDER BY position LIMIT $3
"""  # noqa: S608

_NOW: Final = "SELECT pg_current_snapshot()::text"


def _no_listener() -> None:
    """The default `on_append`."""


class PostgresLog:
    """The `events` table in the schema of the pools' connections.

    `writer` is a pool with a connection of its own, so that readers do not delay appends; by
    default `readers` serves both. `on_append` is called after every commit of new events, which may
    be of many appends, before these return; it must neither raise nor block. It is called before
    their answers; it must neither raise nor wait.
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
        self._locks = AdvisoryLock(readers, connections=max(1, readers.get_max_size() // 2))
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
        part = StreamAppend(stream=stream, events=events, expected=expected)
        appended = await self.append_streams([part], metadata=metadata, facts=facts)
        return Appended(appended.versions[stream], appended.token)

    async def append_streams(
        self,
        streams: Sequence[StreamAppend],
        *,
        metadata: Metadata,
        facts: Sequence[NewFact] = (),
    ) -> AppendedStreams:
        """See `Log.append_streams`."""
        request = Append(streams, metadata, facts)
        failpoint("log-appending")
        appended = cast(AppendedStreams, await self._group.submit(request))
        failpoint("log-appended")
        return appended

    async def append_facts(self, facts: Sequence[NewFact], *, metadata: Metadata) -> FactsAppended:
        """See `Log.append_facts`."""
        return cast(FactsAppended, await self._group.submit(AppendFacts(facts, metadata)))

    async def find(self, event_ids: Sequence[UUID]) -> Mapping[UUID, RecordedEvent]:
        """See `Log.find`."""
        rows = await self._fetch(_FIND, event_ids)
        return {event.event_id: event for event in recorded_events(rows)}

    async def read(self, tenant: str, stream: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """See `Log.read`."""
        return recorded_events(await self._fetch(_READ, tenant, stream, after))

    async def read_streams(
        self, tenant: str, after: Mapping[str, int], *, also: Sequence[UUID] = ()
    ) -> Sequence[RecordedEvent]:
        """See `Log.read_streams`."""
        rows = await self._fetch(READ_STREAMS, tenant, list(after), list(after.values()), also)
        events = {event.position: event for event in recorded_events(rows)}
        return [events[position] for position in sorted(events)]

    def lock_streams(
        self, tenant: str, streams: Collection[str]
    ) -> AbstractAsyncContextManager[None]:
        """See `Log.lock_streams`."""
        return self._locks.hold(*_lock_names(tenant, streams))

    async def wait_for_locks(self, tenant: str, streams: Collection[str]) -> None:
        """See `Log.wait_for_locks`."""
        await self._locks.wait(*_lock_names(tenant, streams))

    async def read_all(
        self, *, after: int = 0, as_of: Snapshot | None = None, page: int = 1000
    ) -> AsyncIterator[Sequence[RecordedEvent]]:
        """See `Log.read_all`."""
        moment = as_of or await self.now()
        while True:
            rows = await self._fetch(READ_ALL, after, str(moment), page)
            if not rows:
                return
            yield recorded_events(rows)
            after = rows[-1]["position"]

    async def entries(
        self,
        tenant: str,
        since: datetime,
        until: datetime,
        *,
        moment: Snapshot,
        after: Snapshot | None = None,
        also: str = "",
    ) -> Sequence[Entry]:
        """See `Log.entries`."""
        bounds = tenant, since, until, str(moment)
        if after is None:
            rows = await self._fetch(past.ENTRIES, *bounds)
        else:
            seen = str(after.xmin), str(after)
            rows = await self._fetch(past.LATER_ENTRIES, *bounds, *seen, also)
        return [Entry(*row) for row in rows]

    async def at(self, positions: Sequence[int]) -> Sequence[RecordedEvent]:
        """See `Log.at`."""
        rows = recorded_events(await self._fetch(past.AT, positions))
        events = {one.position: one for one in rows}
        return [events[position] for position in positions]

    async def newest(
        self, tenant: str, streams: Sequence[str], *, known_at: datetime, limit: int
    ) -> Sequence[RecordedEvent]:
        """See `Log.newest`."""
        rows = await self._fetch(past.NEWEST, tenant, streams, known_at, limit)
        return recorded_events(rows)

    async def now(self) -> Snapshot:
        """See `Log.now`."""
        return Snapshot.parse((await self._fetch(_NOW))[0][0])

    async def close(self) -> None:
        """Wait a limited time for pending writes. The caller must close the pools."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._group.flush()

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            async with acquire(self._readers) as connection:
                skip_session_reset(connection)
                return await connection.fetch(query, *arguments)
        except (Unavailable, *LOST, *BUSY) as error:
            raise LogUnavailable from error

    async def _write(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        inserted = self._inserted
        try:
            async with acquire(self._writer) as connection:
                skip_session_reset(connection)
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
        except Exception as error:  # noqa: BLE001 -- the other requests must not fail with it
            if len(requests) == 1:
                return [error]
        # One request made the group fail: write each by itself.
        results = [await self._write_group(connection, [request]) for request in requests]
        return [result for [result] in results]

    async def _try_group(
        self, connection: _Connection, requests: Sequence[Request]
    ) -> Sequence[Result | Exception]:
        """Write optimistically; after several conflicts lock the streams, so that none starves."""
        facts = [request for request in requests if isinstance(request, AppendFacts)]
        if len(facts) == len(requests):
            with suppress(NotSeparable, asyncpg.DeadlockDetectedError):
                return await self._insert_facts(connection, facts)
        with suppress(Conflict):
            return await self._try(connection, requests, OPTIMISTIC_ATTEMPTS)
        heads = {head for r in requests if isinstance(r, Append) for head in r.heads}
        async with connection.transaction():
            await connection.execute(locks.TAKE, [*map("/".join, heads)])
            return await self._try(connection, requests, ATTEMPTS)

    async def _insert_facts(
        self, connection: _Connection, requests: Sequence[AppendFacts]
    ) -> Sequence[Result | Exception]:
        written = await insertion.insert_facts(connection, requests)
        if (inserted := written.inserted) is None:
            self._count(len(written.entries))
            return written.results(requests)
        self._count(len(inserted))
        planned = plan(requests, {}, {})
        return await _results(connection, planned, inserted)

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
            return await _results(connection, planned, inserted)
        raise Conflict

    def _count(self, inserted: int) -> None:
        APPENDED.inc(inserted)
        self._inserted += inserted


async def _results(
    connection: _Connection, planned: Plan, inserted: Mapping[UUID, LogPosition]
) -> Sequence[Result | Exception]:
    # Nearly always all events are new.
    is_all = len(inserted) == len(planned.rows)
    skipped = set() if is_all else planned.fact_ids - inserted.keys()
    return planned.results(inserted, *await insertion.positions_of(connection, skipped))


@asynccontextmanager
async def open_log(
    readers: Pool, dsn: str, service: str, *, on_append: Callable[[], object] = _no_listener
) -> AsyncIterator[PostgresLog]:
    """The log of a service, with a writer connection of its own. Raises Unavailable."""
    writer = await open_pool(
        dsn,
        role=application_role(service),
        schema=service,
        size=1,
        application_name=f"{service} writer",
        tenant_scope=SYSTEM,
        # All other appends wait for the present one.
        statement_timeout=APPEND_TIMEOUT,
        # Every query is an index look-up, whatever the parameters.
        generic_plans=True,
        connect_now=False,
    )
    log = PostgresLog(readers, writer, on_append=on_append)
    try:
        yield log
    finally:
        await log.close()
        await writer.close()


def _lock_names(tenant: str, streams: Collection[str]) -> list[str]:
    return [f"execute {tenant}/{stream}" for stream in streams]


def _weight(request: Request) -> Weight:
    events: Sequence[NewEvent] = () if isinstance(request, AppendFacts) else request.events
    size = sum([len(event.data) for event in (*events, *request.facts)])
    rows = len(events) + len(request.facts)
    return Weight(rows, size + rows * ROW_BYTES)
