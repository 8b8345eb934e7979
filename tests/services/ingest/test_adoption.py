"""An installation whose read models were fed from Kafka continues with its tables.

The state that the version before left is built word for word by SQL, at that version's revision;
then `migrate` runs as a command. In the end every read model must say what the log says.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import pytest
from typer.testing import CliRunner

from contracts.envelope import Envelope
from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import envelope
from libs.messaging.categories import category_of
from libs.postgres import revisions
from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.process.commands import command_line
from libs.process.service import Service
from libs.projections import parking
from libs.projections.consistency import Consistency
from libs.projections.projection import Projection
from libs.projections.runner import ProjectionRunner
from libs.telemetry import logs
from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.read_models import apply, clear, rows_of
from services.ingest.bootstrap import SERVICE
from tests.libs.messaging.lab import running
from tests.services.ingest.history import (
    PROJECTIONS,
    TABLES,
    Store,
    a_scan,
    append,
    environment,
)
from tests.services.ingest.test_read_models import WRITTEN, a_history

BEFORE: Final = "0012_follow_log"
PREFIX: Final = "t."
NAMES: Final = sorted(model.name for model in PROJECTIONS)
ONE: Final = "scan_log"
"""The read model that is other than the rest."""
CHANGED: Final = "activity"

RELAY: Final = """UPDATE relay SET published = $1::text::pg_snapshot,
    target = $2::text::pg_snapshot, after_position = $3, until_position = $4, complete = $5,
    confirmed = $6, tick = 7, epoch = 2, next_seq = $7"""
GENERATION: Final = "INSERT INTO generations VALUES ($1, 3, 'live', $2::text::pg_snapshot)"
CHECKPOINT: Final = "INSERT INTO checkpoints VALUES ($1, 3, $2, $3, 1000, $4)"
PARKED_STREAM: Final = """INSERT INTO parked_streams
    (projection, tenant, stream, reason, error, attempts) VALUES ($1, $2, $3, 'failed', 'bad', 4)"""
PARKED: Final = """INSERT INTO parked
    (projection, tenant, stream, topic, partition, record_offset, key, headers, value)
    VALUES ($1, $2, $3, 't.ingest.scan', 0, $4, '\\x01', $5, '{}')"""
PLACES: Final = "SELECT name, checkpoint FROM projections WHERE state = 'live'"


@dataclass
class Old:
    """The installation: two transactions' events of which the first are applied."""

    address: str
    pool: Pool
    store: Store
    events: Sequence[RecordedEvent] = ()
    moments: list[str] = field(default_factory=lambda: ["1:1:"])
    first: int = 0
    """How many events the first moment has."""

    async def append(self, events: Sequence[Envelope[IngestEvent]]) -> None:
        """Append in several transactions; what was appended before is the first moment's."""
        for tenant in ("demo", "other"):
            tenant_events = [one.event for one in events if one.tenant == tenant]
            for start in range(0, len(tenant_events), 50):
                await append(self.store, *tenant_events[start : start + 50], tenant=tenant)
        self.first = self.first or len(self.events)
        self.events = [one async for page in self.store.log.read_all() for one in page]
        self.moments.append(await self.pool.fetchval("SELECT pg_current_snapshot()::text"))

    def scans(self) -> Sequence[RecordedEvent]:
        """The first moment's events of a stream of scans."""
        scans = [one for one in self.events[: self.first] if one.stream.startswith("scan-")]
        tenant, stream = scans[0].metadata.tenant, scans[0].stream
        assert tenant == "demo"
        return [one for one in scans if (one.metadata.tenant, one.stream) == (tenant, stream)]

    def position(self, count: int) -> int:
        """That of the last of so many events."""
        return self.events[count - 1].position

    async def relayed(
        self, count: int, published: int, target: int, *, after: int = 0, confirmed: bool = True
    ) -> None:
        """The relay is at a batch between two moments that ends with the event of this number; the
        heads are what was confirmed, the first `after` events if the batch is not.
        """
        done = count if confirmed else after
        begins = self.position(after) if after and not confirmed else 0
        moments = self.moments[published], self.moments[target]
        complete = count == (self.first, len(self.events))[target - 1]
        bounds = begins, self.position(count), complete, confirmed, count + 1
        await self.pool.execute(RELAY, *moments, *bounds)
        for lane, number in heads(self.events[:done]).items():
            await self.pool.execute("INSERT INTO relay_heads VALUES ($1, $2, $3)", *lane, number)

    async def applied(
        self,
        model: Projection[Any],
        count: int,
        *,
        without: Sequence[RecordedEvent] = (),
        base: int | None = None,
        seen: int | None = None,
    ) -> None:
        """The read model has so many events, except some, and the numbers of the first `seen`."""
        given = [one for one in self.events[:count] if one not in without]
        decoded = [envelope(one, self.store.decode(one)) for one in given]
        await apply(self.pool, "ingest", [model], decoded)
        moment = None if base is None else self.moments[base]
        await self.pool.execute(GENERATION, model.name, moment)
        seqs = heads(self.events[: count if seen is None else seen])
        for lane in heads(self.events):
            if lane[0].removeprefix(PREFIX) in model.topics:
                await self.pool.execute(CHECKPOINT, model.name, *lane, seqs.get(lane))

    async def parked(self, model: str, events: Sequence[RecordedEvent], **changes: Any) -> None:
        """The model has set these events of one stream aside; `changes` are of headers."""
        key = model, events[0].metadata.tenant, events[0].stream
        await self.pool.execute(PARKED_STREAM, *key)
        for event in events:
            headers = {"ce_type": "x", "position": str(event.position), "none": None, **changes}
            listed = [
                (name, None if value is None else base64.b64encode(value.encode()).decode())
                for name, value in headers.items()
            ]
            await self.pool.execute(PARKED, *key, event.position, json.dumps(listed))

    async def append_more(self) -> None:
        """Append what was not there before."""
        more = [a_scan(number, operator="anna") for number in range(5000, 5010)]
        await append(self.store, *more)

    async def version(self, model: str) -> int:
        """By which version of its code the read model was filled."""
        query = "SELECT version FROM projections WHERE name = $1 AND state = 'live'"
        return int(await self.pool.fetchval(query, model))

    async def migrate(self, *options: str, service: Service[Any] = SERVICE) -> str:
        """Run the command; what it printed."""
        run, words = CliRunner().invoke, ["migrate", *options]
        done = await asyncio.to_thread(
            run, command_line(service), words, env=environment(self.address)
        )
        assert done.exit_code == 0, done.output
        return done.output

    async def assert_goes_on(self, models: Sequence[Projection[Any]] = PROJECTIONS) -> None:
        """All read models follow the log together, and say what one built from it says."""
        async with running(ProjectionRunner(self.pool, models, service="ingest")):
            consistency = Consistency(self.pool, NAMES, deadline=PATIENCE_SECONDS)
            for name in NAMES:
                for tenant in ("demo", "other"):
                    assert await consistency.caught_up(name, tenant)
            await eventually(self.positions, dict.fromkeys(NAMES, "main"))
        await self.assert_says_what_the_log_says()

    async def positions(self) -> dict[str, str]:
        """Where each read model is."""
        return {row["name"]: row["checkpoint"] for row in await self.pool.fetch(PLACES)}

    async def assert_says_what_the_log_says(self) -> None:
        rows = await rows_of(self.pool, TABLES, except_columns=WRITTEN)
        await clear(self.pool, TABLES)
        events = [one async for page in self.store.log.read_all() for one in page]
        decoded = [envelope(one, self.store.decode(one)) for one in events]
        await apply(self.pool, "ingest", PROJECTIONS, decoded)
        assert rows == await rows_of(self.pool, TABLES, except_columns=WRITTEN)
        assert all(rows.values())


def junk(event: RecordedEvent) -> RecordedEvent:
    """What a stranger wrote into a topic, with the number of an event of another stream."""
    return msgspec.structs.replace(event, stream="scan-elsewhere")


def heads(events: Sequence[RecordedEvent]) -> dict[tuple[str, int], int]:
    """The last number of every partition; there are two of each topic."""
    numbers: dict[tuple[str, int], int] = {}
    for number, one in enumerate(events, 1):
        partition = sum(one.stream.encode()) % 2
        numbers[PREFIX + category_of("ingest", one.stream), partition] = number
    return numbers


@pytest.fixture
async def old(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Old]:
    """The database as the version before migrated it, with a log."""
    # It would log to what the runner of commands closes.
    monkeypatch.setattr(logs, "set_up", lambda *_: None)
    (tmp_path / "versions").mkdir()
    for file in sorted((revisions.folder_of("ingest") / "versions").glob("0*.py")):
        if file.stem < BEFORE:
            (tmp_path / "versions" / file.name).write_text(file.read_text())
    migrate("ingest", empty_database, migrations=tmp_path)
    pool = await open_pool(
        empty_database,
        role=None,
        schema="ingest",
        size=4,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    async with pool:
        log = PostgresLog(pool)
        installation = Old(empty_database, pool, Store(log, Codec[IngestEvent](EVENTS)))
        history = a_history(Random(5), 160)
        await installation.append(history[:150])
        await installation.append(history[150:])
        yield installation
        await log.close()


@dataclass(frozen=True, kw_only=True)
class Case:
    """How far relay, read models and one of these had come: the events of the first moment, and
    so many more or fewer."""

    relayed: int = 0
    between: tuple[int, int] = (0, 1)
    confirmed: bool = True
    one: int = 0
    seen: int | None = None
    """Up to which event it knows numbers, from the first moment on; by default all it has."""
    base: int | None = None
    rebuilt: bool = False


CASES: Final = {
    "all are level": Case(),
    "level in the middle of a long difference": Case(relayed=-20, between=(0, 2), one=-20),
    "level, and a batch is on its way": Case(relayed=9, between=(1, 2), confirmed=False),
    "one is behind": Case(one=-15, rebuilt=True),
    "one is ahead of what is confirmed": Case(
        relayed=9, between=(1, 2), confirmed=False, one=9, rebuilt=True
    ),
    "one was rebuilt, and has had no record since": Case(seen=-1000, base=1, rebuilt=True),
    "one was rebuilt, and is level": Case(base=1),
    "one was rebuilt from events that the relay has yet to read": Case(
        one=1000, seen=0, base=2, rebuilt=True
    ),
    "one reads from the middle": Case(base=-1),
}


def assert_rebuilt(printed: str, *names: str) -> None:
    """These read models are rebuilt, and the one that today's code fills otherwise; no other."""
    [line] = [line for line in printed.splitlines() if "to be rebuilt" in line]
    assert line == f"to be rebuilt: {' '.join(sorted([CHANGED, *names]))}"


async def arrange(old: Old, case: Case) -> None:
    first = old.first
    await old.relayed(first + case.relayed, *case.between, after=first, confirmed=case.confirmed)
    level = first + (case.relayed if case.confirmed else 0)
    if case.base == -1:
        old.moments.append("2:2:")
    for model in PROJECTIONS:
        if model.name != ONE:
            await old.applied(model, level)
            continue
        seen = None if case.seen is None else max(first + case.seen, 0)
        await old.applied(model, first + case.one, base=case.base, seen=seen)


@pytest.mark.parametrize("name", CASES)
async def test_read_models_continue_from_their_positions_or_are_rebuilt(
    old: Old, name: str
) -> None:
    case = CASES[name]
    await arrange(old, case)

    printed = await old.migrate()

    assert_rebuilt(printed, *[ONE] * case.rebuilt)
    assert await old.pool.fetchval("SELECT count(*) FROM generations") == 0
    await old.append_more()
    await old.assert_goes_on()


async def test_rows_of_older_code_are_replaced(old: Old) -> None:
    await arrange(old, CASES["all are level"])
    await old.pool.execute("UPDATE activity SET last_at = last_at - interval '1 hour'")

    await old.migrate()

    await old.assert_goes_on()


async def test_a_new_installation_starts(old: Old) -> None:
    assert "rebuilt" not in await old.migrate()

    assert await old.positions() == {}
    await old.assert_goes_on()


async def test_an_interrupted_migration_continues_and_may_be_repeated(old: Old) -> None:
    await arrange(old, CASES["one is behind"])
    await asyncio.to_thread(migrate, "ingest", old.address)
    killed = await rows_of(old.pool, [ONE])
    assert (await old.positions())[ONE] == f"detached/{ONE}"

    async with running(ProjectionRunner(old.pool, PROJECTIONS, service="ingest")):
        consistency = Consistency(old.pool, NAMES, deadline=PATIENCE_SECONDS)
        assert await consistency.caught_up("presence", "demo")
        assert await rows_of(old.pool, [ONE]) == killed, "what cannot go on stays to be read"

    assert_rebuilt(await old.migrate(), ONE)
    assert "rebuilt" not in await old.migrate()
    await old.assert_goes_on()


async def test_tables_filled_by_older_code_are_rebuilt_on_request(old: Old) -> None:
    await arrange(old, CASES["all are level"])
    await old.migrate()
    newer = [replace(one, version=1 + (one.name == ONE)) for one in PROJECTIONS]
    service = replace(SERVICE, projections=lambda _: newer)

    output = await old.migrate(service=service)
    assert f"not kept up to date until rebuilt: {ONE}\n" in output
    assert await old.version(ONE) == 1

    assert f"to be rebuilt: {ONE}\n" in await old.migrate("--rebuild", service=service)
    assert await old.version(ONE) == 2
    await old.assert_goes_on(newer)


async def test_parked_streams_stay_parked_and_are_retried(old: Old) -> None:
    stream = old.scans()
    waiting, key = stream[len(stream) // 2 :], (stream[0].metadata.tenant, stream[0].stream)
    await old.relayed(old.first, 0, 1)
    for model in PROJECTIONS:
        await old.applied(model, old.first, without=waiting if model.name == ONE else ())
    await old.parked(ONE, waiting)
    await old.parked(ONE, [junk(old.events[0])])
    assert_rebuilt(await old.migrate())

    [one] = await parking.list_parked(old.pool)
    assert (one.projection, one.tenant, one.stream) == (ONE, *key)
    assert (one.first_position, one.reason, one.error, one.attempts) == (
        waiting[0].position,
        "failed",
        "bad",
        4,
    )
    [model] = [one for one in PROJECTIONS if one.name == ONE]
    async with running(ProjectionRunner(old.pool, PROJECTIONS, service="ingest")):
        assert await Consistency(old.pool, NAMES, deadline=PATIENCE_SECONDS).caught_up(ONE, "demo")
    assert await parking.retry(old.pool, model, key) >= len(waiting)
    await old.assert_goes_on()


@pytest.mark.parametrize("changes", [{"position": "1x"}, {"position": None}, {"position": "0"}])
async def test_missing_parked_records_are_restored_from_the_log(
    old: Old, changes: dict[str, Any]
) -> None:
    waiting = old.scans()
    await old.relayed(old.first, 0, 1)
    for model in PROJECTIONS:
        await old.applied(model, old.first, without=waiting if model.name == ONE else ())
    await old.parked(ONE, waiting, **changes)

    assert_rebuilt(await old.migrate(), ONE)
    assert await parking.list_parked(old.pool) == []
    await old.assert_goes_on()
