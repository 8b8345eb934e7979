"""The log in Postgres: one writer connection per process, group commit, no lock but the index.

Concurrency rests on two unique indexes, (tenant, stream, version) and event_id. A group is
planned on what is committed, inserted skipping conflicts, and rolled back and planned again if
anything it counted on was skipped. So the writer of version n + 1 has seen n committed, which is
what lets the relay keep stream order by snapshots alone.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import asyncpg
from prometheus_client import Counter

from libs.eventsourcing import past, statements
from libs.eventsourcing.group_commit import GroupCommit
from libs.eventsourcing.log import (
    Appended,
    Cause,
    Expected,
    FactsAppended,
    LogUnavailable,
    NewEvent,
    NewFact,
    RecordedEvent,
    Rejected,
    Span,
    VersionConflict,
)
from libs.eventsourcing.plan import (
    Append,
    AppendFacts,
    Head,
    Known,
    Plan,
    Request,
    Result,
    plan,
)
from libs.eventsourcing.rows import columns, recorded_event
from libs.eventsourcing.snapshot import Snapshot
from libs.failpoints import reach
from libs.postgres.pool import nothing_was_set

_Connection: TypeAlias = Any  # a pooled proxy or a plain connection

HOPEFUL_ATTEMPTS: Final = 4
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

UNFIT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, UnicodeError)
"""What the database, or the way to it, says of an event that cannot be stored."""

APPENDED: Final = Counter("tillstream_appended_events", "Events written to the log")


class _Raced(Exception):
    """Another process inserted what the plan counted on."""


class PostgresLog:
    """The `events` table of the schema the pool's connections look into."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._group = GroupCommit[Request, Result](self._write, _weight)

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: Expected,
        cause: Cause,
        facts: Sequence[NewFact] = (),
    ) -> Appended:
        """See `Log.append`."""
        request = Append(stream, events, expected, cause, facts)
        reach("log-appending")
        appended = cast(Appended, await self._group.submit(request))
        reach("log-appended")
        return appended

    async def append_facts(self, facts: Sequence[NewFact], *, cause: Cause) -> FactsAppended:
        """See `Log.append_facts`."""
        return cast(FactsAppended, await self._group.submit(AppendFacts(facts, cause)))

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

    def read_occurred(self, tenant: str, span: Span, *, page: int = 1000) -> past.Pages:
        """See `Log.read_occurred`."""
        return past.occurred(self._fetch, tenant, span, page)

    async def newest(
        self, tenant: str, streams: Sequence[str], *, known_at: datetime, each: int
    ) -> Sequence[RecordedEvent]:
        """See `Log.newest`."""
        return await past.newest(self._fetch, tenant, streams, known_at, each)

    async def now(self) -> Snapshot:
        """See `Log.now`."""
        return Snapshot.parse((await self._fetch(statements.NOW))[0][0])

    async def close(self) -> None:
        """Wait for the writes under way; the pool stays the owner's to close."""
        await self._group.settle()

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            async with self._pool.acquire() as connection:
                nothing_was_set(connection)
                return await connection.fetch(query, *arguments)
        except (*LOST, *BUSY) as error:
            raise LogUnavailable from error

    async def _write(self, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        try:
            async with self._pool.acquire() as connection:
                nothing_was_set(connection)
                return await self._write_group(connection, requests)
        except (*LOST, *BUSY) as error:
            lost = LogUnavailable()
            lost.__cause__ = error
            return [lost] * len(requests)

    async def _write_group(
        self, connection: _Connection, requests: Sequence[Request]
    ) -> Sequence[Result | Exception]:
        try:
            return await self._try_group(connection, requests)
        except UNFIT as error:
            if len(requests) == 1:
                return [Rejected(f"the log cannot hold this event: {type(error).__name__}")]
        except _Raced:
            if len(requests) == 1:
                return [VersionConflict("too many others are writing to this stream")]
        # The group failed for the sake of one of them: each by itself.
        alone = [await self._write_group(connection, [request]) for request in requests]
        return [answer for answers in alone for answer in answers]

    async def _try_group(
        self, connection: _Connection, requests: Sequence[Request]
    ) -> Sequence[Result | Exception]:
        """Hope first; whoever keeps losing queues, so that nobody starves at a hot stream."""
        with suppress(_Raced):
            return await self._try(connection, requests, HOPEFUL_ATTEMPTS)
        heads = sorted({r.head for r in requests if isinstance(r, Append)})
        async with connection.transaction():
            await connection.execute(statements.QUEUE, [*map("/".join, heads)])
            return await self._try(connection, requests, ATTEMPTS)

    async def _try(
        self, connection: _Connection, requests: Sequence[Request], attempts: int
    ) -> Sequence[Result | Exception]:
        for _ in range(attempts):
            planned = await self._plan(connection, requests)
            try:
                xid, inserted = await _insert(connection, planned)
            except (_Raced, asyncpg.DeadlockDetectedError):
                continue
            APPENDED.inc(len(inserted))
            skipped = planned.fact_ids - inserted
            return planned.answers(xid, inserted, await _writers(connection, skipped))
        raise _Raced

    async def _plan(self, connection: _Connection, requests: Sequence[Request]) -> Plan:
        appends = [request for request in requests if isinstance(request, Append)]
        if not appends:
            return plan(requests, {}, {})
        heads = list({request.head for request in appends})
        ids = [each.event_id for request in appends for each in (*request.events, *request.facts)]
        versions: dict[Head, int] = {}
        known: dict[UUID, Known] = {}
        tenants, streams = [tenant for tenant, _ in heads], [stream for _, stream in heads]
        rows = await connection.fetch(statements.STANDING, tenants, streams, ids)
        for event_id, tenant, stream, version, xid in rows:
            if event_id is None:
                versions[tenant, stream] = version
            else:
                known[event_id] = Known((tenant, stream), version, xid)
        return plan(requests, versions, known)


async def _writers(connection: _Connection, event_ids: set[UUID]) -> dict[UUID, int]:
    rows = await connection.fetch(statements.KNOWN, list(event_ids)) if event_ids else []
    return {row["event_id"]: row["xid"] for row in rows}


async def _insert(connection: _Connection, planned: Plan) -> tuple[int, set[UUID]]:
    """The writing transaction and what it inserted; raises _Raced having written nothing."""
    if not planned.rows:
        return 0, set()
    if not planned.required:
        return _inserted(await connection.fetch(statements.INSERT, *columns(planned.rows)))
    async with connection.transaction():
        rows = await connection.fetch(statements.INSERT, *columns(planned.rows))
        if planned.required - {row["event_id"] for row in rows}:
            raise _Raced
        reach("group-inserted")
        return _inserted(rows)


def _inserted(rows: Sequence[asyncpg.Record]) -> tuple[int, set[UUID]]:
    return (rows[0]["xid"] if rows else 0), {row["event_id"] for row in rows}


def _weight(request: Request) -> int:
    events = 0 if isinstance(request, AppendFacts) else len(request.events)
    return events + len(request.facts)
