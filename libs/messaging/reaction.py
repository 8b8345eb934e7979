"""Reactions: another service's fact arrives, and something is done about it, once.

The reader only puts facts into an inbox (see `libs.messaging.inbox`), in one transaction with its
checkpoint; whatever the reaction does happens afterwards and may fail, wait and be tried again. It
is done at least once: what it appends has a command id that follows from the fact, so that its
effect comes exactly once. A reaction is no read model: nothing ever replays it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
import structlog
from prometheus_client import Gauge

from contracts.envelope import Envelope
from libs.clock import Clock, utc_now
from libs.errors import Unavailable
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import VersionConflict
from libs.messaging import inbox
from libs.messaging.beginning import begin
from libs.messaging.inbox import Arrival
from libs.messaging.projector import Projector
from libs.messaging.subscription import Source
from libs.messaging.topics import topic_name
from libs.postgres.pool import Pool, is_lost
from libs.process.waiting import wait
from libs.projections.projection import Connection, Projection

Event = TypeVar("Event")

TRIES: Final = 6
"""How often an arrival may fail for a reason of its own before it is parked."""
FIRST_BACKOFF: Final = timedelta(seconds=1)
LAST_BACKOFF: Final = timedelta(minutes=5)
LOOK_SECONDS: Final = 0.5
AT_ONCE: Final = 16
KEPT: Final = timedelta(days=120)
"""Longer than any topic is: what is forgotten does not arrive again."""
FORGET_EVERY: Final = timedelta(hours=1)

PARKED: Final = Gauge("reaction_parked", "Arrivals that could not be done", ["reaction"])

log = structlog.get_logger("reaction")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Turn:
    """When something is to be done about an event, and which others it has its turn among."""

    subject: str
    due_at: datetime


React: TypeAlias = Callable[[Envelope[Event]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction(Generic[Event]):
    """What is done about facts of other services.

    `turn_of` says when, None if nothing is; `react` does it and may raise anything. With
    `latest_wins` only the latest of one subject counts, as with prices; else they are done one
    after the other, and one that fails holds those behind it up.
    """

    name: str
    topics: tuple[str, ...]
    codec: Codec[Event]
    turn_of: Callable[[Event], Turn | None]
    react: React[Event]
    latest_wins: bool = False


def intake(reaction: Reaction[Event]) -> Projection[Event]:
    """The reader that fills the inbox, as a projector needs it. It has no tables to rebuild."""
    return Projection(
        name=f"inbox-{reaction.name}",
        tables=(),
        topics=reaction.topics,
        codec=reaction.codec,
        project=partial(_take, reaction),
    )


class Reactor(Generic[Event]):
    """Fills the inbox of one reaction and does what waits in it, whatever happens meanwhile.

    Any number of them may work at once. The pool must see all tenants.
    """

    def __init__(
        self, pool: Pool, reaction: Reaction[Event], source: Source, *, clock: Clock = utc_now
    ) -> None:
        self._pool = pool
        self._reaction = reaction
        self._clock = clock
        self._source = source
        self._come = asyncio.Event()
        self._forgot_at: datetime | None = None
        self.intake = Projector(pool, intake(reaction), source, on_applied=self._on_applied)

    async def run(self, stop: asyncio.Event) -> None:
        """Read and react until `stop` is set; survives database and broker going away."""
        await asyncio.gather(self._read(stop), self._work(stop))

    async def react(self) -> int:
        """Do what is due now; how many arrivals were tried. Raises what the pool raises."""
        reaction, now = self._reaction, self._clock()
        async with self._pool.acquire() as connection:
            arrivals = await inbox.claim(
                connection, reaction.name, now, limit=AT_ONCE, latest_wins=reaction.latest_wins
            )
        await asyncio.gather(*(self._do(arrival) for arrival in arrivals))
        return len(arrivals)

    async def _read(self, stop: asyncio.Event) -> None:
        topics = [topic_name(self._source.prefix, one) for one in self._reaction.topics]
        while not stop.is_set():
            try:
                await begin(self._pool, self.intake.name, topics, self._source.bootstrap)
                break
            except Exception as error:  # noqa: BLE001 -- topics, broker or database are yet to come
                log.info("reaction cannot begin", reaction=self._reaction.name, error=repr(error))
                await wait(stop, LOOK_SECONDS)
        await self.intake.run(stop)

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                tried = await self.react()
                await self._look_after()
            except Exception as error:  # noqa: BLE001 -- what waits in the inbox stays there
                log.warning("reaction waits", reaction=self._reaction.name, error=repr(error))
                tried = 0
            if not tried:
                await self._pause(stop)

    async def _pause(self, stop: asyncio.Event) -> None:
        self._come.clear()
        waiting = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._come.wait())]
        try:
            await asyncio.wait(waiting, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _do(self, arrival: Arrival) -> None:
        name = self._reaction.name
        try:
            async with asyncio.timeout(inbox.LEASE.total_seconds()):
                await self._reaction.react(_envelope(self._reaction, arrival))
        except Exception as error:  # noqa: BLE001 -- a reaction may fail in any way it likes
            await self._failed(arrival, error)
            return
        # If this is lost, it is done again, to no effect.
        async with self._pool.acquire() as connection:
            await inbox.done(connection, name, arrival, self._clock())

    async def _failed(self, arrival: Arrival, error: Exception) -> None:
        now, said = self._clock(), f"{type(error).__name__}: {error}"
        hopeless = not _passes(error) and arrival.attempts >= TRIES
        PARKED.labels(self._reaction.name).inc(hopeless)
        log.warning(
            "reaction failed",
            reaction=self._reaction.name,
            fact=str(arrival.event_id),
            error=said,
            parked=hopeless,
        )
        wait = min(FIRST_BACKOFF * 2 ** min(arrival.attempts - 1, 16), LAST_BACKOFF)
        async with self._pool.acquire() as connection:
            await inbox.failed(
                connection,
                self._reaction.name,
                arrival,
                said,
                retry_at=now + wait,
                parked_at=now if hopeless else None,
            )

    async def _look_after(self) -> None:
        now = self._clock()
        if self._forgot_at is not None and now < self._forgot_at + FORGET_EVERY:
            return
        self._forgot_at = now
        async with self._pool.acquire() as connection:
            await inbox.forget(connection, now - KEPT)
            parked = await inbox.parked(connection, self._reaction.name)
        PARKED.labels(self._reaction.name).set(parked)

    def _on_applied(self, *_: object) -> None:
        self._come.set()


def _passes(error: Exception) -> bool:
    """Whether it says nothing about the arrival: it is tried again for ever."""
    known = (Unavailable, VersionConflict, ConnectionError, TimeoutError)
    return isinstance(error, known) or is_lost(error)


async def _take(
    reaction: Reaction[Event], connection: Connection, events: Sequence[Envelope[Event]]
) -> None:
    turns = ((envelope, reaction.turn_of(envelope.event)) for envelope in events)
    arrivals = [_arrival(reaction, envelope, turn) for envelope, turn in turns if turn is not None]
    await inbox.take(connection, reaction.name, arrivals)


_CAUSE: Final = ("actor", "correlation_id", "causation_id", "traceparent")


def _arrival(reaction: Reaction[Event], envelope: Envelope[Event], turn: Turn) -> Arrival:
    name, version, data = reaction.codec.encode(envelope.event)
    return Arrival(
        tenant=envelope.tenant,
        event_id=envelope.event_id,
        stream=envelope.stream,
        version=envelope.version,
        type=name,
        schema_version=version,
        data=data.decode(),
        metadata=_encode({key: getattr(envelope, key) for key in _CAUSE}).decode(),
        occurred_at=envelope.occurred_at,
        recorded_at=envelope.recorded_at,
        subject=turn.subject,
        due_at=turn.due_at,
    )


def _envelope(reaction: Reaction[Event], arrival: Arrival) -> Envelope[Event]:
    metadata: Mapping[str, Any] = msgspec.json.decode(arrival.metadata)
    data = arrival.data.encode()
    return Envelope(
        event_id=arrival.event_id,
        tenant=arrival.tenant,
        stream=arrival.stream,
        version=arrival.version,
        occurred_at=arrival.occurred_at,
        recorded_at=arrival.recorded_at,
        event=reaction.codec.decode(arrival.type, arrival.schema_version, data),
        **{key: metadata.get(key) for key in _CAUSE},
    )
