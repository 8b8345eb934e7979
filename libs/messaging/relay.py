"""The relay: follows the log in commit order and publishes it to Kafka.

One relay per service leads; the others wait. All of the leader's reading and writing goes over the
connection that holds the lock, so losing the lock and losing the ability to go on are one thing. A
batch is saved before it is sent, so a restart sends the identical batch under identical numbers,
and readers can drop what they have seen.
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
    read_rows_of_difference,
)
from libs.messaging import metrics, republish
from libs.messaging.batch_sender import BatchSender, BatchSpan, PreparedPage
from libs.messaging.leadership import IDLE_SECONDS, LEADER_LOCK, Leadership, take_over
from libs.messaging.publisher import Publisher
from libs.messaging.relay_batch import BatchTable, RelayBatch, read_heads
from libs.messaging.republish import Republication
from libs.messaging.wire import Row
from libs.postgres.pool import hold_connection
from libs.process.waiting import insist_on_cancellation, wait, wait_for_either

log = structlog.get_logger("relay")

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 5.0

PROVEN_SECONDS: Final = 30.0
"""An epoch of so many seconds belongs to a leader that does not fail."""

_TRY_TO_LEAD: Final = """
SELECT pg_try_advisory_lock($1, hashtext(current_schema())) AS leads, epoch, batch FROM relay
"""
_LIMIT_IDLENESS: Final = """
SELECT set_config('idle_session_timeout', $1, false),
    CASE WHEN current_setting('server_version_num')::int >= 170000
        THEN set_config('transaction_timeout', $2, false) END
"""
"""A session is not idle between the parts of one statement; there only the second limit holds."""


def _no_span(_: Sequence[Row]) -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True, kw_only=True, slots=True)
class Polling:
    """How many events a page holds, and how often the log is read, in seconds.

    After a page events gather for `gather`, so that small pages are few. While none come the pause
    doubles from `shortest` to `longest`; `wake` ends it. A relay that waits asks for the lock every
    `standby`. A leader silent for `idle` loses its session.
    """

    page: int = 2000
    gather: float = 0.004
    shortest: float = 0.004
    longest: float = 0.25
    standby: float = 1.0
    idle: float = IDLE_SECONDS


@dataclass(slots=True)
class Progress:
    """What a health check may ask of a relay.

    `moved_at` is when a batch was last confirmed, or nothing was there to send, or another relay
    did that, by the monotonic clock. `sending` is the number of events under way, `republishing`
    the topic that is sent again, if one is, and how far it is.
    """

    leading: bool = False
    backlog: int = 0
    sending: int = 0
    republishing: str | None = None
    last_error: str | None = None
    moved_at: float = field(default_factory=monotonic)

    def moved(self, sent: int = 0) -> None:
        """So many events were sent."""
        self.moved_at = monotonic()
        self.sending = 0
        self.last_error = None
        self.backlog = max(self.backlog - sent, 0)
        metrics.RELAY_BACKLOG.set(self.backlog)

    def republish(self, topic: str, sent: int, total: int) -> None:
        """So many events of a topic were sent again."""
        self.republishing = f"{topic}, {sent:,} of {total:,} events" if sent < total else None
        metrics.REPUBLISH_LEFT.set(max(total - sent, 0))

    def stop_leading(self) -> None:
        """Record that the relay does not lead."""
        self.leading = False
        self.republishing = None
        metrics.REPUBLISH_LEFT.set(0)

    def wait_behind(self, backlog: int) -> None:
        """So many events are to be sent."""
        self.backlog = backlog
        metrics.RELAY_BACKLOG.set(backlog)


class Relay:
    """Publishes the log of the schema the pool's connections are in.

    `connect` makes a fresh publisher; it is called again after every failure to send.
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
        """Read the log now instead of at the end of the pause: something was appended.

        Cheap, and safe to call at any time from the loop that runs the relay.
        """
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Lead, or wait to lead, until `stop` is set. Survives database and broker going away."""
        pause = FIRST_BACKOFF
        while not stop.is_set():
            moved_at = self.progress.moved_at
            try:
                async with self._leadership(stop) as connection:
                    if connection is not None:
                        await self._lead(connection, stop)
            except Exception as error:  # noqa: BLE001 -- whatever it was, the log is still there
                insist_on_cancellation(error)
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
        """The leading connection, or None when it is time to stop."""
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

    async def _lead(self, connection: Any, stop: asyncio.Event) -> None:
        leadership, batch = await take_over(connection)
        publisher = await leadership.during(self._connect())
        try:
            while not stop.is_set():
                log.info("relay leads", epoch=leadership.epoch, next_seq=batch.next_seq)
                sender = await self._sender(leadership, publisher, batch)
                await leadership.check()
                if leadership.republish_requested and sender.batch.complete:
                    await self._send_topic_again(leadership, publisher, stop)
                else:
                    await self._follow(leadership, sender, stop)
                # Numbers and names are others when a topic was sent again.
                if not stop.is_set():
                    leadership, batch = await take_over(connection)
        finally:
            await publisher.close()

    async def _sender(
        self, leadership: Leadership, publisher: Publisher, batch: RelayBatch
    ) -> BatchSender:
        """What sends behind `batch`, which is sent again if it is not known to be on Kafka."""
        connection = leadership.connection
        sender = BatchSender(
            leadership,
            publisher,
            BatchTable(connection, leadership.epoch),
            batch,
            await read_heads(connection),
            span=self._span,
            page=self._polling.page,
        )
        if not batch.confirmed:
            self.progress.sending = batch.next_seq - batch.first_seq
            await sender.send_again()
            self.progress.moved()
        return sender

    async def _follow(
        self, leadership: Leadership, sender: BatchSender, stop: asyncio.Event
    ) -> None:
        """Send what comes, until `stop` or until a topic is to be sent again."""
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
        """What comes behind the cursor, if anything does."""
        page = await read_rows(connection, cursor, limit=self._polling.page)
        if page.backlog is not None:
            self.progress.wait_behind(page.backlog)
        return page

    async def _send(self, sender: BatchSender, one: PreparedPage) -> PreparedPage | None:
        self.progress.sending = len(one.page.events)
        ahead = await sender.send(one)
        self.progress.moved(len(one.page.events))
        return ahead

    async def _pause(
        self, stop: asyncio.Event, pauses: "_Pauses", sent: int, *, more: bool
    ) -> None:
        """Wait before the log is read again; not at all while there is more than a page."""
        seconds = pauses.after(sent)
        if sent == 0:
            await wait_for_either(stop, self._woken, seconds)
        elif not more:
            # Also if it is woken: a page for every append would cost more than it brings.
            await wait(stop, seconds)

    async def _send_topic_again(
        self, leadership: Leadership, publisher: Publisher, stop: asyncio.Event
    ) -> None:
        """The topic requested first, as far as the relay has sent it."""
        again = await republish.begin(leadership)
        if again is None:
            return
        log.info("sending a topic again", topic=again.topic)
        sender = self._sender_of(
            leadership, publisher, again, await read_heads(leadership.connection)
        )
        await sender.send_again()
        ahead: PreparedPage | None = None
        while not (sender.batch.complete or stop.is_set()):
            self.progress.republish(again.topic, sender.batch.next_seq - 1, again.total)
            await leadership.check_if_due()
            one = ahead or PreparedPage(await self._page_of(leadership, sender.batch, again))
            if not one.page.events:
                break
            ahead = await self._send(sender, one)
        await sender.confirm()
        if not stop.is_set():
            await republish.finish(leadership, again, sender.batch.next_seq)
            self.progress.republish(again.topic, again.total, again.total)
            log.info("topic sent again", topic=again.topic, events=sender.batch.next_seq - 1)

    def _sender_of(
        self,
        leadership: Leadership,
        publisher: Publisher,
        again: Republication,
        heads: dict[tuple[str, int], int],
    ) -> BatchSender:
        leadership.identity = again.identity
        return BatchSender(
            leadership,
            publisher,
            BatchTable(leadership.connection, leadership.epoch, "relay_republish", again.topic),
            again.batch,
            heads,
            span=self._span,
            page=self._polling.page,
            kind=again.kind,
        )

    async def _page_of(
        self, leadership: Leadership, batch: RelayBatch, again: Republication
    ) -> PageOf[Row]:
        """What comes behind the batch in a topic that is sent again."""
        return await read_rows_of_difference(
            leadership.connection,
            batch.published,
            batch.target,
            after=batch.until_position,
            limit=self._polling.page,
            kind=again.kind,
        )


class _Standby:
    """Watches the relay that leads, so that one that only waits does not hide its own trouble.

    Relays that fail in turns all wait most of the time: waiting alone is no progress.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._epoch, self._batch = -1, -1
        self._since = monotonic()

    def observe(self, epoch: int, batch: int) -> None:
        """Note which batch the leader saved last, in which epoch."""
        advanced = -1 < self._batch < batch
        if epoch != self._epoch:
            self._since = monotonic()
        self._epoch, self._batch = epoch, batch
        proven = monotonic() - self._since >= PROVEN_SECONDS
        if advanced or proven or self._progress.last_error is None:
            self._progress.moved()


class _Pauses:
    """How long to wait after a page."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling
        self._next = polling.shortest

    def after(self, sent: int) -> float:
        """The pause, in seconds, after a page of so many events."""
        if sent:
            self._next = self._polling.shortest
            return self._polling.gather
        pause, self._next = self._next, min(self._next * 2, self._polling.longest)
        return pause
