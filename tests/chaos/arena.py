"""Where a scenario takes place: a database, topics, clients, children, and the judgement."""

import asyncio
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeAlias

import asyncpg

from libs.clock import Clock, utc_now
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.postgres.guarded_pool import ANY_ERROR
from libs.testing.polling import eventually
from tests.chaos.child import Member, Role
from tests.chaos.patches import SCHEMA
from tests.chaos.plan import LATE, NeverStruck, Outcome, Plan, judge
from tests.chaos.servers import Servers
from tests.e2e.house import own_database
from tests.libs.messaging.clients import ack_of, append_commands, command_of
from tests.libs.messaging.history import Ack
from tests.libs.messaging.lab import WRITER_CODEC, Cursed, Lab, Ledger
from tests.libs.messaging.setup import open_database

CLIENTS: Final = 4
STRANGER: Final = 200
"""The client number of transactions written by hand."""
CURSE: Final = 210
"""The client number of events on which a read model fails."""
PARTITIONS: Final = 3
GIVEN_UP: Final = 4
"""So many times its bound a block is waited for."""

INSERT: Final = """INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
VALUES ($1, 'demo', $2, $3, 'Numbered', 1, $4, '{}', $5)"""
"""An event written by hand: id, stream, version, data and time."""

_POSITIONS: Final = """SELECT (SELECT count(*) FROM events) AS logged,
    (SELECT CASE WHEN confirmed THEN next_seq ELSE first_seq END - 1 FROM relay) AS published,
    (SELECT coalesce(sum(cardinality(seen)), 0) FROM ledger) AS applied"""


class Arena:
    """One scenario's own world. Children it started are killed when it is left."""

    def __init__(self, servers: Servers, plan: Plan, lab: Lab, address: str) -> None:
        self.servers, self.plan, self.lab, self.address = servers, plan, lab, address
        self.dice = random.Random(plan.seed)
        self.acks: list[Ack] = []
        self.complaints: list[str] = []
        self.bootstrap = lab.bootstrap
        self._members: list[Member] = []
        self._first: dict[int, int] = defaultdict(int)
        self._strangers = self._curses = 0

    def start(
        self, *parts: str, failpoint: str = "", hard: tuple[str, ...] = (), **more: Any
    ) -> Member:
        """Start a child; `hard` are hardships (see `patches`) beside what the plan switches off."""
        role = Role(
            parts=parts,
            database=self.address,
            bootstrap=self.bootstrap,
            prefix=self.lab.prefix,
            log=str(self._file("log")),
            failpoint=failpoint,
            without=(*self.plan.without, *hard),
            seed=self.plan.seed,
            **more,
        )
        self._members.append(Member(role))
        return self._members[-1]

    def start_clients(self, failpoint: str = "", **more: Any) -> Member:
        """Start a child that goes on for the first clients, each where it was left."""
        return self.start(
            "clients",
            failpoint=failpoint,
            first=tuple((client, self._first[client]) for client in range(CLIENTS)),
            acks=str(self._file("acks")),
            **more,
        )

    def hear(self, member: Member) -> int:
        """Record the acknowledgements that a child's clients got; their number. Call it once."""
        file = Path(member.role.acks)
        lines = file.read_text().splitlines() if file.exists() else []
        for line in lines:
            self._on_ack(*map(int, line.split()))
        file.unlink(missing_ok=True)
        return len(lines)

    def _on_ack(self, client: int, number: int, version: int) -> None:
        self.acks.append(ack_of(command_of(self.plan.seed, client, number), version))
        self._first[client] = number + 1

    def _file(self, kind: str) -> Path:
        folder = self.servers.home / "chaos"
        folder.mkdir(exist_ok=True)
        return folder / f"{self.lab.prefix}-{len(self._members)}.{kind}"

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[None]:
        """Other clients append from this process while the block lasts."""
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(
                append_commands(
                    self.lab.store,
                    self.plan.seed,
                    client,
                    first=self._first[client],
                    on_ack=self._on_ack,
                    stop=stop,
                )
            )
            for client in range(CLIENTS, 2 * CLIENTS)
        ]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    @asynccontextmanager
    async def straggler(self, *, prepared: bool = False) -> AsyncIterator[None]:
        """Somebody's transaction that has taken its place in the log and commits when the block
        ends; meanwhile its connection sits idle, or is gone if the transaction is `prepared`."""
        self._strangers += 1
        name = f"s{self._strangers}"
        value, stream = STRANGER * 10_000_000 + self._strangers, f"order-{name}"
        connection = await asyncpg.connect(self.address)
        end = f" PREPARED '{self.lab.prefix}{name}'" if prepared else ""
        try:
            await connection.execute("BEGIN")
            arguments = (uuid.uuid4(), stream, 1, f'{{"n": {value}}}', datetime.now(UTC))
            await connection.execute(INSERT, *arguments)
            if prepared:
                await connection.execute(end.replace(" PREPARED", "PREPARE TRANSACTION"))
            try:
                yield
            except BaseException:
                await connection.execute(f"ROLLBACK{end}")
                raise
            await connection.execute(f"COMMIT{end}")
            self.acks.append(Ack(stream, (value,), 1))
        finally:
            await connection.close()

    async def curse(self, *streams: int) -> None:
        """Append an event on which the read model fails to these of the clients' streams."""
        for number in streams:
            self._curses += 1
            value, stream = CURSE * 10_000_000 + self._curses, f"order-{number}"
            version = (await self.lab.appended(stream, Cursed(value))).version
            self.acks.append(Ack(stream, (value,), version))

    @asynccontextmanager
    async def within(self, seconds: float, what: str) -> AsyncIterator[None]:
        """Complain if the block takes longer; break it off after several times as long."""
        began = monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVEN_UP * seconds):
                yield
        took = monotonic() - began
        if took > seconds:
            self.complaints.append(f"{LATE}{what} took {took:.1f} s, {seconds:g} at most")

    async def positions(self) -> tuple[int, int, int]:
        """How many events are logged, published and applied. Waits for the database to be back."""
        while True:
            try:
                row = await self.lab.pool.fetchrow(_POSITIONS)
            except ANY_ERROR:
                await asyncio.sleep(0.05)
            else:
                assert row is not None
                return row["logged"], row["published"], row["applied"]

    async def moved(self, stage: int, by: int) -> None:
        """Wait until so many more events are logged (0), published (1) or applied (2).

        Raises NeverStruck when nothing moves any more.
        """
        start = now = await self.positions()

        async def reached() -> bool:
            nonlocal now
            now = await self.positions()
            return now[stage] >= start[stage] + by

        try:
            await eventually(reached, progress=lambda: now[stage], poll_seconds=0.02)
        except AssertionError as error:
            what = ("logged", "published", "applied")[stage]
            raise NeverStruck(f"nothing is {what} any more") from error

    async def level(self) -> None:
        """Wait until all that is logged is applied, or until everything stands still for long."""
        before, moved_at = (0, 0, 0), monotonic()
        while monotonic() - moved_at < self.plan.patience:
            now = await self.positions()
            if now[0] == now[1] == now[2]:
                return
            if now != before:
                before, moved_at = now, monotonic()
            await asyncio.sleep(0.05)

    async def verdict(self, **more: Any) -> Outcome:
        """Let a fresh relay and projector finish, then check what all readers saw."""
        self.kill_all()
        self.start("relay", "projector", **more)
        await self.level()
        self.kill_all()
        return judge(await self.lab.history(self.acks), self.complaints)

    def kill_all(self, *parts: str) -> None:
        for member in self._members:
            if not parts or member.role.parts == parts:
                member.kill()


@asynccontextmanager
async def open_arena(
    servers: Servers, plan: Plan, *, clock: Clock = utc_now
) -> AsyncIterator[Arena]:
    """An empty world; `clock` is its clients'."""
    with own_database(servers.postgres.superuser_url, "chaos") as address:
        async with open_database(address) as pool:
            prefix = f"c{uuid.uuid4().hex[:12]}"
            specs = [TopicSpec(category="lab.order", partitions=PARTITIONS, retention_days=1)]
            await ensure_topics(servers.kafka.bootstrap, prefix, specs)
            lab = Lab(
                pool=pool,
                bootstrap=servers.kafka.bootstrap,
                prefix=prefix,
                store=EventStore(PostgresLog(pool), WRITER_CODEC, clock=clock),
                ledger=Ledger(),
            )
            for name in SCHEMA.keys() & set(plan.without):
                await pool.execute(SCHEMA[name])
            arena = Arena(servers, plan, lab, address)
            try:
                yield arena
            finally:
                arena.kill_all()


Play: TypeAlias = Callable[..., Awaitable[Outcome]]
"""Takes servers and a plan. Raises NeverStruck if the fault did not come about or nothing went on
after it."""


def rounds(
    *crew: str, after: tuple[int, int] | None = None, hard: tuple[str, ...] = ()
) -> Callable[[Callable[..., Awaitable[None]]], Play]:
    """Make a play of what happens in one round, given the arena, its number, and options.

    Meanwhile children with the parts that `crew` names (`relay`, or `relay+projector`), with `hard`
    hardships, and clients are at work; `after` all rounds something must have moved.
    """

    def of(strike: Callable[..., Awaitable[None]]) -> Play:
        @wraps(strike)
        async def play(servers: Servers, plan: Plan, **options: Any) -> Outcome:
            async with open_arena(servers, plan) as arena:
                for parts in crew:
                    arena.start(*parts.split("+"), hard=hard)
                async with arena.clients():
                    for number in range(plan.rounds):
                        await strike(arena, number, **options)
                    if after is not None:
                        await arena.moved(*after)
                return await arena.verdict()

        return play

    return of
