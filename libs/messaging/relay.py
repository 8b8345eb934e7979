"""The relay: follows the log in commit order, publishes it, and never loses its place.

One relay per service leads, by a session lock on its own connection; the others wait. All of its
reading and writing goes over that connection, so losing the lock and losing the ability to go on
are the same thing. A tick is written down before it is sent, so a restart sends the identical
page under identical numbers and readers can drop what they have seen.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeAlias

import asyncpg
import structlog

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.snapshot import Snapshot
from libs.failpoints import reach
from libs.messaging import metrics, ticks
from libs.messaging.publisher import Lane, Publisher, Shipment, UnknownTopic
from libs.messaging.tail import Difference, Page, current
from libs.messaging.ticks import Tick
from libs.process.waiting import wait, wait_for_either

log = structlog.get_logger("relay")

LEADER_LOCK: Final = 0x7E1A4
"""The advisory lock of the leading relay, beside the hash of the service's schema."""

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0


Span: TypeAlias = Callable[[Sequence[RecordedEvent]], AbstractContextManager[Any]]
"""What surrounds the sending of a page, for the traces."""


def _no_span(_: Sequence[RecordedEvent]) -> AbstractContextManager[Any]:
    return nullcontext()


class LogChanged(Exception):
    """The log no longer holds what a tick promised: it was restored from elsewhere or tampered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How many events a page holds, and how long to wait when nothing new is there.

    The wait grows from `shortest` to `longest` seconds while the log is idle.
    """

    page: int = 2000
    shortest: float = 0.002
    longest: float = 0.05
    standby: float = 1.0


@dataclass(slots=True)
class Progress:
    """What a health check may ask of a relay."""

    leading: bool = False
    backlog: int = 0
    last_error: str | None = None
    alive_at: float = field(default_factory=monotonic)


class Relay:
    """Publishes the log of the schema the pool's connections look into.

    `connect` makes a fresh publisher; it is called again after every failure to send.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        connect: Callable[[], Awaitable[Publisher]],
        *,
        pace: Pace | None = None,
        span: Span = _no_span,
    ) -> None:
        self._pool = pool
        self._connect = connect
        self._pace = pace or Pace()
        self._span = span
        self._woken = asyncio.Event()
        self.progress = Progress()

    def wake(self) -> None:
        """Look now instead of at the end of the pause; for appends in the same process."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Lead, or wait to lead, until `stop` is set. Survives database and broker going away."""
        pause = FIRST_BACKOFF
        while not stop.is_set():
            try:
                async with self._leadership(stop) as connection:
                    if connection is not None:
                        pause = FIRST_BACKOFF
                        await self._lead(connection, stop)
            except Exception as error:  # noqa: BLE001 -- whatever it was, the log is still there
                self.progress.last_error = f"{type(error).__name__}: {error}"
                log.warning("relay interrupted", error=self.progress.last_error, retry_in=pause)
                await wait(stop, pause)
                pause = min(pause * 2, LAST_BACKOFF)
            finally:
                self.progress.leading = False

    @asynccontextmanager
    async def _leadership(self, stop: asyncio.Event) -> AsyncIterator[Any]:
        """The leading connection, or None when it is time to stop."""
        async with self._pool.acquire() as connection:
            query = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))"
            while not await connection.fetchval(query, LEADER_LOCK):
                self.progress.alive_at = monotonic()
                if await wait(stop, self._pace.standby):
                    yield None
                    return
            self.progress.leading = True
            yield connection

    async def _lead(self, connection: Any, stop: asyncio.Event) -> None:
        tick = await ticks.take_over(connection)
        heads = await ticks.read_heads(connection)
        publisher = await self._connect()
        log.info("relay leads", epoch=tick.epoch, tick=tick.tick, next_seq=tick.next_seq)
        try:
            if not tick.confirmed:
                tick = await self._send_again(connection, publisher, tick, heads)
            await self._follow(connection, publisher, tick, heads, stop)
        finally:
            await publisher.close()

    async def _send_again(
        self, connection: Any, publisher: Publisher, tick: Tick, heads: dict[Lane, int]
    ) -> Tick:
        """What was written down but perhaps not sent, word for word."""
        count = tick.next_seq - tick.first_seq
        page = await Difference(tick.published, tick.target).page(
            connection, after=tick.after_position, until=tick.until_position, limit=count
        )
        if len(page.events) != count:
            raise LogChanged(f"tick {tick.tick} had {count} events, now {len(page.events)}")
        return (await self._send(connection, publisher, tick, _Load(page), heads))[0]

    async def _follow(
        self,
        connection: Any,
        publisher: Publisher,
        tick: Tick,
        heads: dict[Lane, int],
        stop: asyncio.Event,
    ) -> None:
        seen, pause, ahead = tick.target, self._pace.shortest, None
        while not stop.is_set():
            self.progress.alive_at = monotonic()
            self._woken.clear()
            load = ahead or _Load(await self._next_page(connection, tick, seen))
            # A difference without events is as good as published.
            seen = load.page.difference.target
            if load.page.events:
                tick, pause = tick.next(load.page), self._pace.shortest
                reach("tick-saving")
                await ticks.save(connection, tick)
                reach("tick-saved")
                tick, ahead = await self._send(connection, publisher, tick, load, heads)
            else:
                await wait_for_either(stop, self._woken, pause)
                pause = min(pause * 2, self._pace.longest)

    async def _next_page(self, connection: Any, tick: Tick, seen: Snapshot) -> Page:
        """The rest of the tick's difference, or else the beginning of what is new since `seen`."""
        if rest := await self._rest(connection, tick):
            return rest
        news = Difference(seen, await current(connection))
        if news.target == seen:
            return Page(news, 0, (), last=True)
        self.progress.backlog, after = await news.backlog(connection)
        metrics.RELAY_BACKLOG.set(self.progress.backlog)
        if not self.progress.backlog:
            return Page(news, 0, (), last=True)
        return await news.page(connection, after=after, limit=self._pace.page)

    async def _rest(self, connection: Any, tick: Tick) -> Page | None:
        """What follows in the tick's difference, if anything does."""
        if tick.complete:
            return None
        rest = Difference(tick.published, tick.target)
        page = await rest.page(connection, after=tick.until_position, limit=self._pace.page)
        return page if page.events else None

    async def _ahead(
        self, connection: Any, publisher: Publisher, tick: Tick, heads: dict[Lane, int]
    ) -> "_Load | None":
        """What goes out after the tick, if more of its difference does."""
        page = await self._rest(connection, tick)
        if page is None:
            return None
        try:
            return _Load(page, await publisher.prepare(page.events, tick.next_seq, heads))
        except UnknownTopic:
            # That is said when it is its turn, not while another page is on its way.
            return _Load(page)

    async def _send(
        self,
        connection: Any,
        publisher: Publisher,
        tick: Tick,
        load: "_Load",
        heads: dict[Lane, int],
    ) -> tuple[Tick, "_Load | None"]:
        """Send and confirm; what follows is read and made ready meanwhile."""
        events = load.page.events
        with self._span(events):
            shipment = load.shipment or await publisher.prepare(events, tick.first_seq, heads)
            publishing = asyncio.ensure_future(publisher.send(shipment))
            try:
                ahead = await self._ahead(connection, publisher, tick, heads | shipment.heads)
                new_heads = await publishing
            finally:
                # Nothing of this page may be on its way when somebody begins anew.
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)
            reach("page-flushed")
            tick = await ticks.confirm(connection, tick, new_heads)
            reach("tick-confirmed")
        heads.update(new_heads)
        metrics.RELAYED.inc(len(events))
        self.progress.last_error = None
        self.progress.backlog = max(self.progress.backlog - len(events), 0)
        metrics.RELAY_BACKLOG.set(self.progress.backlog)
        return tick, ahead


@dataclass(frozen=True, slots=True)
class _Load:
    """A page, and how it goes out if that is known already."""

    page: Page
    shipment: Shipment | None = None
