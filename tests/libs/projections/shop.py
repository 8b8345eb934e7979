"""A small service: its log, and two read models that follow it.

`ledger` shows order, loss and doubling: every stream with all it has seen. `tally` counts.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import uuid4

import asyncpg

from contracts.envelope import Envelope
from libs.eventsourcing.log import ANY, Metadata
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.eventsourcing.tail import read_page
from libs.postgres.liveness import LiveConnection
from libs.projections import checkpoints
from libs.projections.apply import apply_page
from libs.projections.checkpoints import MAIN
from libs.projections.consistency import Consistency
from libs.projections.projection import Connection, Projection, by_stream
from libs.projections.runner import Polling, ProjectionRunner
from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.tables import LOG_TABLES, PROJECTION_TABLES
from tests.libs.messaging.lab import (
    LEDGER,
    WRITER_CODEC,
    Ledger,
    Numbered,
    expected,
    order,
    rows_of_ledger,
)

METADATA: Final = Metadata(tenant="demo")
TALLY: Final = "CREATE TABLE tally (tenant text PRIMARY KEY, events bigint NOT NULL)"
EMPTY: Final = """ALTER TABLE events DISABLE TRIGGER events_append_only;
    TRUNCATE events, ledger, tally, projections, projection_checkpoints, parked_events
    RESTART IDENTITY"""
"""Begins anew in a database that was used before."""


class Tally:
    """Counts each tenant's events; fails as such with `error`, if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.statement: str | None = None

    async def project(self, connection: Connection, events: Sequence[Envelope[Any]]) -> None:
        if self.error:
            raise self.error
        if self.statement:
            await connection.execute(self.statement)
        await connection.executemany(
            "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (tenant)"
            " DO UPDATE SET events = tally.events + 1",
            [(envelope.tenant,) for envelope in events],
        )

    @property
    def projection(self) -> Projection[Any]:
        return Projection(
            name="tally",
            tables=("tally",),
            topics=("lab.order",),
            codec=WRITER_CODEC,
            project=self.project,
        )


@dataclass(kw_only=True)
class Shop:
    """The service's parts, each to be started and stopped at will."""

    address: str
    pool: asyncpg.Pool
    store: EventStore[Any]
    ledger: Ledger = field(default_factory=Ledger)
    tally: Tally = field(default_factory=Tally)
    versions: dict[str, int] = field(default_factory=dict)
    shards: int = 1

    @property
    def models(self) -> list[Projection[Any]]:
        """Both read models, in the versions asked for."""
        both = [self.split(self.ledger.projection), self.tally.projection]
        return [replace(one, version=self.versions.get(one.name, 1)) for one in both]

    def runner(self, *models: Projection[Any], page: int = 2000) -> ProjectionRunner:
        """A runner of these read models, by default of both."""
        polling = Polling(page=page, standby=0.05)
        return ProjectionRunner(
            self.pool, models or self.models, service="lab", polling=polling, shards=self.shards
        )

    def split(self, model: Projection[Any]) -> Projection[Any]:
        """The same for several shards: each stream has rows of its own."""
        return replace(model, shard_key=by_stream)

    def consistency(self, *, deadline: float = PATIENCE_SECONDS) -> Consistency:
        """What knows how far they are."""
        return Consistency(self.pool, ["ledger", "tally"], deadline=deadline)

    async def append(self, stream: str, *events: Any, tenant: str = "demo") -> str:
        """Append; the token."""
        metadata = Metadata(tenant=tenant)
        done = await self.store.append(
            stream, events, expected=ANY, metadata=metadata, command_id=uuid4()
        )
        return done.token

    async def append_numbers(self, numbers: range) -> None:
        """Append each number to one of five streams in turn."""
        for number in numbers:
            await self.append(order(number % 5), Numbered(number))

    async def applied(self, count: int) -> None:
        """Wait until both read models hold the first `count` numbers, and those alone."""
        await eventually(self.rows, expected(count))
        await eventually(self.counted, count)

    async def rows(self) -> dict[str, list[int]]:
        """What every stream has in the ledger."""
        return await rows_of_ledger(self.pool)

    async def counted(self) -> int:
        """What the tally says of `demo`."""
        query = "SELECT coalesce(sum(events), 0) FROM tally WHERE tenant = 'demo'"
        return int(await self.pool.fetchval(query))

    async def step(self, *, page: int = 2000) -> int:
        """Apply one page as a worker of both read models does, in one turn; how many events."""
        await self.runner()._checkpoint_names()
        async with self.pool.acquire() as connection:
            checkpoint = await checkpoints.read(connection, MAIN)
            assert checkpoint
            events = await read_page(connection, checkpoint.cursor, limit=page)
            await apply_page(connection, self.models, checkpoint, events, service="lab")
            return len(events.events)

    async def checkpoint_names(self) -> dict[str, str]:
        """The checkpoint of each live read model."""
        rows = await self.pool.fetch("SELECT name, checkpoint FROM projections")
        return {row["name"]: row["checkpoint"] for row in rows}


@asynccontextmanager
async def open_shop(address: str, shards: int = 1) -> AsyncIterator[Shop]:
    """A database with log, checkpoints and tables, which are created if they are missing."""
    async with asyncpg.create_pool(
        address, min_size=0, max_size=24, connection_class=LiveConnection
    ) as pool:
        if await pool.fetchval("SELECT to_regclass('events') IS NULL"):
            await pool.execute(";".join((*LOG_TABLES, *PROJECTION_TABLES, LEDGER, TALLY)))
        store = EventStore(PostgresLog(pool), WRITER_CODEC)
        yield Shop(address=address, pool=pool, store=store, shards=shards)
