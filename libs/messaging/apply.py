"""One batch, one transaction: the read model and its checkpoint move together or not at all.

Longer than most: from the records to the rows, with what cannot be projected sorted out between.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast

import asyncpg

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec, UndecodableEvent, UnknownEvent
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import LOST
from libs.eventsourcing.store import envelope
from libs.failpoints import reach
from libs.messaging import checkpoints, parking
from libs.messaging.checkpoints import Overtaken
from libs.messaging.parking import Letter, StreamKey
from libs.messaging.publisher import Lane
from libs.messaging.sift import Broken, Sifted, sift
from libs.messaging.wire import Delivered, Record
from libs.postgres.pool import nothing_was_set
from libs.projections.projection import Projection

Event = TypeVar("Event")

TRANSIENT: Final = (
    *LOST,
    Overtaken,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
)
"""Errors that say nothing about the events: the same batch is tried again, after a while."""

MISFIT: Final = (asyncpg.SyntaxOrAccessError, parking.TooManyParked)
"""Errors that say the projection itself is wrong: no event is to blame, none is parked."""


@dataclass(slots=True)
class Item(Generic[Event]):
    """An event ready to be projected, with the record it came in."""

    record: Record
    recorded: RecordedEvent
    event: Envelope[Event]

    @property
    def stream(self) -> StreamKey:
        return self.recorded.cause.tenant, self.recorded.stream


@dataclass(slots=True)
class Applied:
    """What became of a batch. `seek` says where to read again; a lane in `gaps` lost records."""

    recorded: list[RecordedEvent] = field(default_factory=list)
    parked: int = 0
    repeated: int = 0
    next_offsets: dict[Lane, int] = field(default_factory=dict)
    gaps: dict[Lane, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edition:
    """Which generation of a projection is meant: its state, and where its tables are.

    Editions other than the live one name their schemas; what they cannot apply is parked under a
    name of their own.
    """

    state: str = "live"
    search_path: str | None = None

    def parking(self, projection: str) -> str:
        """The name its letters are kept under."""
        return projection if self.state == "live" else f"{projection}@{self.state}"

    async def enter(self, connection: Any) -> None:
        """Let unqualified table names mean this edition until the transaction ends."""
        if self.search_path:
            await connection.execute(f"SET LOCAL search_path = {self.search_path}")


LIVE: Final = Edition()


async def apply(
    pool: asyncpg.Pool,
    projection: Projection[Event],
    records: Sequence[Record],
    edition: Edition = LIVE,
) -> Applied:
    """Apply what is new in `records` and move the checkpoints, in one transaction.

    Records of one partition must be in order. Raises what is in TRANSIENT (nothing happened, try
    again) and MISFIT (nothing happened, and trying again will not help).
    """
    lanes: dict[Lane, list[Record]] = defaultdict(list)
    for record in records:
        lanes[record.topic, record.partition].append(record)
    reach("batch-received")
    try:
        return await _apply(pool, projection, lanes, edition, hopeful=True)
    except _Doubtful:
        return await _apply(pool, projection, lanes, edition, hopeful=False)


class _Doubtful(Exception):
    """Something could not be projected, and without savepoints nothing says what."""


async def _apply(
    pool: asyncpg.Pool,
    projection: Projection[Event],
    lanes: Mapping[Lane, Sequence[Record]],
    edition: Edition,
    *,
    hopeful: bool,
) -> Applied:
    async with pool.acquire() as connection, connection.transaction():
        nothing_was_set(connection)
        old = await checkpoints.lock(connection, projection.name, lanes, state=edition.state)
        await edition.enter(connection)
        sifted = {lane: sift(lanes[lane], old[lane]) for lane in sorted(lanes)}
        reach("batch-projecting")
        applied = await _apply_sifted(connection, projection, sifted, edition, hopeful=hopeful)
        reach("batch-projected")
        new = {lane: one.checkpoint for lane, one in sifted.items() if one.checkpoint != old[lane]}
        await checkpoints.move(connection, projection.name, old, new)
        reach("batch-committing")
    reach("batch-committed")
    return applied


async def _apply_sifted(
    connection: Any,
    projection: Projection[Event],
    sifted: dict[Lane, Sifted],
    edition: Edition,
    *,
    hopeful: bool,
) -> Applied:
    ready = [
        make_ready(projection, record, delivered)
        for one in sifted.values()
        for record, delivered in one.records
    ]
    done, letters = await project_ready(connection, projection, ready, edition, hopeful=hopeful)
    await parking.park(connection, edition.parking(projection.name), letters)
    return Applied(
        recorded=[item.recorded for item in done],
        parked=len(letters),
        repeated=sum(one.repeated for one in sifted.values()),
        next_offsets={lane: one.checkpoint.next_offset for lane, one in sifted.items()},
        gaps={lane: one.gap for lane, one in sifted.items() if one.gap},
    )


async def project_ready(
    connection: Any,
    projection: Projection[Event],
    ready: Sequence[Item[Event] | Letter],
    edition: Edition = LIVE,
    *,
    hopeful: bool = False,
) -> tuple[list[Item[Event]], list[Letter]]:
    """Project what can be; the rest comes back as letters, in the order of their records.

    Whatever follows a letter in its stream, or belongs to a parked stream, becomes one too. If
    `hopeful`, no savepoint is made: what cannot be projected is `_Doubtful` and ends everything.
    """
    name = edition.parking(projection.name)
    blocked = await parking.parked_among(connection, name, {one.stream for one in ready})
    bisection = _Bisection(connection, projection, hopeful)
    free: list[Item[Event]] = []
    for one in ready:
        if isinstance(one, Letter):
            bisection.letters.append(one)
            blocked.add(one.stream)
        elif one.stream in blocked:
            bisection.letters.append(Letter(one.stream, one.record))
        else:
            free.append(one)
    await bisection.run(free)
    return bisection.done, sorted(bisection.letters, key=_place)


@dataclass(slots=True)
class _Bisection(Generic[Event]):
    """Finds the events that cannot be projected by halving, each try in a savepoint.

    Nearly always there is none: the `hopeful` do not prepare for it.
    """

    connection: Any
    projection: Projection[Event]
    hopeful: bool = False
    done: list[Item[Event]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    blocked: set[StreamKey] = field(default_factory=set)

    async def run(self, items: Sequence[Item[Event]]) -> None:
        free = [item for item in items if item.stream not in self.blocked]
        held = [item for item in items if item.stream in self.blocked]
        self.letters += [Letter(item.stream, item.record) for item in held]
        if not free:
            return
        error = await self._try(free)
        if error is None:
            self.done += free
        elif self.hopeful:
            raise _Doubtful from error
        elif len(free) == 1:
            reason = f"{type(error).__name__}: {error}"
            self.letters.append(Letter(free[0].stream, free[0].record, "failed", reason))
            self.blocked.add(free[0].stream)
            if len(self.blocked) > parking.CAP:
                raise parking.TooManyParked(f"hardly anything can be applied: {reason}")
        else:
            await self.run(free[: len(free) // 2])
            await self.run(free[len(free) // 2 :])

    async def _try(self, items: Sequence[Item[Event]]) -> Exception | None:
        savepoint = nullcontext() if self.hopeful else self.connection.transaction()
        try:
            async with savepoint:
                await self.projection.project(self.connection, [item.event for item in items])
        except asyncpg.InterfaceError as error:
            # Of a connection that still works this is a call the projection got wrong.
            if self.connection.is_closed():
                raise
            return error
        except (*TRANSIENT, *MISFIT):
            raise
        except Exception as error:  # noqa: BLE001 -- a projection may fail in any way it likes
            return error
        return None


def make_ready(
    projection: Projection[Event], record: Record, delivered: Delivered | Broken
) -> Item[Event] | Letter:
    """The event as its class, or why it cannot be."""
    if isinstance(delivered, Broken):
        return Letter(_place_of(record), record, "unreadable", delivered.reason)
    recorded = delivered.recorded
    try:
        told = _read(projection.codec, delivered)
    except (UnknownEvent, UndecodableEvent) as error:
        stream = (recorded.cause.tenant, recorded.stream)
        reason = "unknown" if isinstance(error, UnknownEvent) else "undecodable"
        return Letter(stream, record, reason, str(error))
    return Item(record, recorded, told)


def _read(codec: Codec[Event], delivered: Delivered) -> Envelope[Event]:
    """What the record tells. Raises UnknownEvent, UndecodableEvent."""
    if delivered.read_by is not codec:
        recorded = delivered.recorded
        event = codec.decode(recorded.type, recorded.schema_version, recorded.data)
        delivered.envelope, delivered.read_by = envelope(recorded, event), codec
    return cast(Envelope[Event], delivered.envelope)


def _place(letter: Letter) -> tuple[str, int, int]:
    return letter.record.topic, letter.record.partition, letter.record.offset


def _place_of(record: Record) -> StreamKey:
    """What stands for the stream of a record that does not say it."""
    return "?", f"{record.topic}-{record.partition}-{record.offset}"
