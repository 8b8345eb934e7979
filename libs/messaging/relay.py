"""The relay: follows the log in commit order and publishes it to Kafka.

One relay per service leads; the others wait. The leader reads and writes only over the connection
that holds the lock, so a leader that loses the lock cannot go on. A batch is saved before it is
sent, so a restart sends the identical batch under identical numbers, and readers can drop records
they have seen.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import asyncpg
import structlog

from libs.eventsourcing.tail import (
    READ_IN_ORDER,
    Cursor,
    PageOf,
    read_rows,
)
from libs.messaging import metrics, republish
from libs.messaging.batch_sender import BatchSender, BatchSpan, PreparedPage
from libs.messaging.leadership import IDLE_SECONDS, LEADER_LOCK, Leadership, take_over
from libs.messaging.publisher import Publisher
from libs.messaging.relay_batch import BatchTable, RelayBatch, read_heads
from libs.messaging.wire import Row
from libs.postgres.pool import hold_connection
from libs.process.concurrency import reraise_cancellation, wait, wait_for_either

log = structlog.get_logger("relay")

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0

PROVEN_SECONDS: Final = 30.0
"""A leader that has led for so many seconds counts as working."""

_TRY_TO_LEAD: Final = """
SELECT pg_try_advisory_lock($1, hashtext(current_schema())) AS leads, epoch, batch FROM relay
"""
_LIMIT_IDLENESS: Final = """
SELECT set_config('idle_session_timeout', $1, false),
    CASE WHEN current_setting('server_version_num')::int >= 170000
        THEN set_config('transaction_timeout', $2, false) END
"""
"""The second limit also holds between the parts of one statement, where a session is not idle."""


def _no_span(_: Sequence[Row]) -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True, kw_only=True, slots=True)
class Polling:
    """The number of events per page, and the intervals of polling in seconds.

    After a page with events the relay waits for `gather`, which keeps small pages few. Without
    events the pause doubles from `shortest` to `longest`; `wake` ends it. A standby relay tries the
    lock every `standby`. A leader that sends no query for `idle` loses its session.
    """

    page: int = 2000
    gather: float = 0.004
    shortest: float = 0.004
    longest: float = 0.25
    standby: float = 1.0
    idle: float = IDLE_SECONDS


@dataclass(slots=True)
class Progress:
    """The state of a relay for health checks.

    `moved_at` is the time, by the monotonic clock, when a batch was last confirmed, nothing was
    left to send, or another relay made progress. `in_flight` is the number of events being sent,
    `republishing` the topic that is being sent again, with its progress.
    """

    leading: bool = False
    backlog: int = 0
    in_flight: int = 0
    republishing: str | None = None
    last_error: str | None = None
    moved_at: float = field(default_factory=monotonic)

    def moved(self, sent: int = 0) -> None:
        """Record that `sent` events were confirmed."""
        self.moved_at = monotonic()
        self.in_flight = 0
        self.last_error = None
        self.backlog = max(self.backlog - sent, 0)
        metrics.RELAY_BACKLOG.set(self.backlog)

    def republish(self, topic: str, sent: int, total: int) -> None:
        """Record that `sent` of `total` events of a topic were sent again."""
        self.republishing = f"{topic}, {sent:,} of {total:,} events" if sent < total else None
        metrics.REPUBLISH_LEFT.set(max(total - sent, 0))

    def stop_leading(self) -> None:
        """Record that the relay does not lead."""
        self.leading = False
        self.republishing = None
        metrics.REPUBLISH_LEFT.set(0)

    def set_backlog(self, backlog: int) -> None:
        """Record that `backlog` events are to be sent."""
        self.backlog = backlog
        metrics.RELAY_BACKLOG.set(backlog)


class Relay:
    """Publishes the log in the schema of the pool's connections.

    `connect` makes a new publisher; it is called again after every failure to send.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        connect: Callable[[], Awaitable[Publisher]],
        *,
        polling: Polling | None = None,
        span: BatchSpan = _no_span,
    ) -> None:
        self._pool = pool
        self._connect = connect
        self._polling = polling or Polling()
        self._span = span
        self._woken = asyncio.Event()
        self.progress = Progress()

    def wake(self) -> None:
        """Read the log now instead of at the end of the pause, because events were appended.

        Cheap, and safe to call at any time from the loop that runs the relay.
        """
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Lead or stand by until `stop` is set; survives outages of database and broker."""
        pause = FIRST_BACKOFF
        while not stop.is_set():
            moved_at = self.progress.moved_at
            try:
                async with self._leadership(stop) as connection:
                    if connection is not None:
                        await self._run_as_leader(connection, stop)
            except Exception as error:  # noqa: BLE001 -- whatever it was, the log is still there
                reraise_cancellation(error)
                if self.progress.moved_at > moved_at:
                    pause = FIRST_BACKOFF
                self.progress.last_error = f"{type(error).__name__}: {error}"
                log.warning("relay interrupted", error=self.progress.last_error, retry_in=pause)
                await wait(stop, pause)
                pause = min(pause * 2, LAST_BACKOFF)
            finally:
                self.progress.stop_leading()

    @asynccontextmanager
    async def _leadership(self, stop: asyncio.Event) -> AsyncIterator[Any]:
        """Wait for the lock. Yields the connection that holds it, or None if `stop` was set."""
        async with hold_connection(self._pool) as connection:
            idle = int(self._polling.idle * 1000)
            await connection.execute(_LIMIT_IDLENESS, str(idle), str(3 * idle))
            await connection.execute(READ_IN_ORDER)
            standby = _Standby(self.progress)
            while True:
                (row,) = await connection.fetch(_TRY_TO_LEAD, LEADER_LOCK)
                if row["leads"]:
                    break
                standby.observe(row["epoch"], row["batch"])
                if await wait(stop, self._polling.standby):
                    yield None
                    return
            self.progress.leading = True
            yield connection

    async def _connect_publisher(self, leadership: Leadership) -> Publisher:
        """A fresh publisher; one that connects while the epoch ends is closed. Raises Deposed."""
        connecting = asyncio.ensure_future(self._connect())
        try:
            return await leadership.during(connecting)
        except BaseException:
            if connecting.done() and not connecting.cancelled() and not connecting.exception():
                await connecting.result().close()
            raise

    async def _run_as_leader(self, connection: Any, stop: asyncio.Event) -> None:
        leadership, batch = await take_over(connection)
        publisher = await self._connect_publisher(leadership)
        try:
            while not stop.is_set():
                log.info("relay leads", epoch=leadership.epoch, next_seq=batch.next_seq)
                sender = await self._sender(leadership, publisher, batch)
                await leadership.check()
                if leadership.republish_requested and sender.batch.complete:
                    await self._send_topic_again(leadership, publisher, stop)
                else:
                    await self._follow(leadership, sender, stop)
                # Sending a topic again changes numbers and incarnations.
                if not stop.is_set():
                    leadership, batch = await take_over(connection)
        finally:
            await publisher.close()

    async def _sender(
        self, leadership: Leadership, publisher: Publisher, batch: RelayBatch
    ) -> BatchSender:
        """A sender after `batch`, which is sent again first if it is not confirmed."""
        table = BatchTable(leadership.connection, leadership.epoch)
        sender = await self._new_sender(leadership, publisher, table, batch)
        if not batch.confirmed:
            self.progress.in_flight = batch.next_seq - batch.first_seq
            await sender.send_again()
            self.progress.moved()
        return sender

    async def _follow(
        self, leadership: Leadership, sender: BatchSender, stop: asyncio.Event
    ) -> None:
        """Send new events until `stop`, or until a topic is to be sent again."""
        cursor, pauses = sender.batch.cursor, _Pauses(self._polling)
        ahead: PreparedPage | None = None
        while not stop.is_set():
            await leadership.check_if_due()
            if leadership.republish_requested and cursor.complete:
                break
            self._woken.clear()
            one = ahead or PreparedPage(await self._next_page(leadership.connection, cursor))
            cursor, sent = one.page.cursor, len(one.page.events)
            if sent:
                ahead = await self._send(sender, one)
            else:
                await sender.confirm()
                self.progress.moved()
            await self._pause(stop, pauses, sent, more=not cursor.complete)
        await sender.confirm()

    async def _next_page(self, connection: Any, cursor: Cursor) -> PageOf[Row]:
        """The page after the cursor; it may be empty."""
        page = await read_rows(connection, cursor, limit=self._polling.page)
        if page.backlog is not None:
            self.progress.set_backlog(page.backlog)
        return page

    async def _send(self, sender: BatchSender, one: PreparedPage) -> PreparedPage | None:
        self.progress.in_flight = len(one.page.events)
        ahead = await sender.send(one)
        self.progress.moved(len(one.page.events))
        return ahead

    async def _pause(
        self, stop: asyncio.Event, pauses: "_Pauses", sent: int, *, more: bool
    ) -> None:
        """Wait before the log is read again, unless the next page is known to have events."""
        seconds = pauses.after(sent)
        if sent == 0:
            await wait_for_either(stop, self._woken, seconds)
        elif not more:
            # Even if woken: a page for every single append would be inefficient.
            await wait(stop, seconds)

    async def _send_topic_again(
        self, leadership: Leadership, publisher: Publisher, stop: asyncio.Event
    ) -> None:
        """Send the topic of the oldest request again, up to the relay's own position."""
        again = await republish.begin(leadership)
        if again is None:
            return
        log.info("sending a topic again", topic=again.topic)
        leadership.identity = again.identity
        table = BatchTable(leadership.connection, leadership.epoch, "relay_republish", again.topic)
        sender = await self._new_sender(leadership, publisher, table, again.batch, again.kind)
        await sender.send_again()
        ahead: PreparedPage | None = None
        while not (sender.batch.complete or stop.is_set()):
            self.progress.republish(again.topic, sender.batch.next_seq - 1, again.total)
            await leadership.check_if_due()
            one = ahead or PreparedPage(await sender.read_next())
            if not one.page.events:
                break
            ahead = await self._send(sender, one)
        await sender.confirm()
        if not stop.is_set():
            await republish.finish(leadership, again, sender.batch.next_seq)
            self.progress.republish(again.topic, again.total, again.total)
            log.info("topic sent again", topic=again.topic, events=sender.batch.next_seq - 1)

    async def _new_sender(
        self,
        leadership: Leadership,
        publisher: Publisher,
        table: BatchTable,
        batch: RelayBatch,
        kind: str = "",
    ) -> BatchSender:
        return BatchSender(
            leadership,
            publisher,
            table,
            batch,
            await read_heads(leadership.connection),
            span=self._span,
            page=self._polling.page,
            kind=kind,
        )


class _Standby:
    """Watches the leading relay, so that a standby relay does not hide its own errors.

    Relays that fail one after the other all stand by most of the time: standing by alone is no
    progress.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._epoch, self._batch = -1, -1
        self._since = monotonic()

    def observe(self, epoch: int, batch: int) -> None:
        """Record the leader's epoch and the batch it saved last."""
        advanced = -1 < self._batch < batch
        if epoch != self._epoch:
            self._since = monotonic()
        self._epoch, self._batch = epoch, batch
        proven = monotonic() - self._since >= PROVEN_SECONDS
        if advanced or proven or self._progress.last_error is None:
            self._progress.moved()


class _Pauses:
    """The pauses between pages."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling
        self._next = polling.shortest

    def after(self, sent: int) -> float:
        """The pause in seconds after a page with `sent` events."""
        if sent:
            self._next = self._polling.shortest
            return self._polling.gather
        pause, self._next = self._next, min(self._next * 2, self._polling.longest)
        return pause
