"""The worker of one reaction's inbox: claims due messages, reacts, retries and parks."""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Final, Generic, TypeVar

import asyncpg
import structlog
from prometheus_client import Gauge

from libs.errors import Unavailable
from libs.eventsourcing.codec import UndecodableEvent, UnknownEvent
from libs.eventsourcing.log import VersionConflict
from libs.failpoints import failpoint
from libs.messaging import inbox
from libs.messaging.inbox import Backlog, ClaimLost, InboxMessage
from libs.messaging.inbox_feed import read_message
from libs.messaging.positions import RETENTION
from libs.messaging.reaction import Reaction, envelope_of
from libs.messaging.trouble import Trouble
from libs.messaging.wire import Unreadable, decode
from libs.postgres.error_text import error_text
from libs.postgres.pool import Pool, is_connection_lost, skip_session_reset
from libs.process.concurrency import reraise_cancellation, wait_for_either

Event = TypeVar("Event")

ATTEMPTS: Final = 6
"""How often a message may fail before it is parked."""
CONTENDED_ATTEMPTS: Final = 20
"""How often a message may time out or conflict before it is parked: more than an hour."""
FIRST_BACKOFF: Final = timedelta(seconds=1)
LAST_BACKOFF: Final = timedelta(minutes=5)
FIRST_IDLE_SECONDS: Final = 0.5
LAST_IDLE_SECONDS: Final = 5.0
"""The longest sleep of an idle worker. New and due messages wake it; this limit is for changes by
other processes, such as `inbox retry`."""
CLAIM_LIMIT: Final = 16
MEASURE_SECONDS: Final = 5.0
CLEAN_SECONDS: Final = 3600.0
WARN_SECONDS: Final = 30.0

CONTENDED: Final = (
    TimeoutError,
    VersionConflict,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Errors that end when other transactions release their locks, unless the message causes them."""

PERMANENT: Final = (Unreadable, UnknownEvent, UndecodableEvent)
"""Errors that only another version of the program can avoid."""

PARKED: Final = Gauge(
    "tillstream_reaction_parked", "Parked messages", ["reaction"], multiprocess_mode="max"
)
OLDEST: Final = Gauge(
    "tillstream_reaction_oldest_waiting_seconds",
    "How long the oldest message has been due that nothing holds up",
    ["reaction"],
    multiprocess_mode="max",
)

log = structlog.get_logger("reaction")


class InboxWorker(Generic[Event]):
    """Any number of workers of one reaction may run at once. The pool must see all tenants.

    A reaction may take two thirds of `lease`, counted from before its message was claimed.
    """

    def __init__(
        self, pool: Pool, reaction: Reaction[Event], *, lease: timedelta = inbox.LEASE
    ) -> None:
        self._pool = pool
        self._reaction = reaction
        self._name = reaction.name
        self._lease = lease
        self._woken = asyncio.Event()
        self._measured_at = self._cleaned_at = float("-inf")
        self.trouble = Trouble()
        self.backlog = Backlog(parked=0, oldest_seconds=0.0)

    def wake(self) -> None:
        """Look for new messages at once."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; survives outages of the database."""
        idle = FIRST_IDLE_SECONDS
        while not stop.is_set():
            self._woken.clear()
            try:
                tried = await self.react()
                await self._maintain()
                pause = 0.0 if tried else await self._pause(idle)
                self.trouble.clear("inbox")
            except Exception as error:  # noqa: BLE001 -- the messages remain in the inbox
                reraise_cancellation(error)
                self.trouble.note("inbox", error)
                log.warning("inbox worker interrupted", reaction=self._name, error=repr(error))
                tried, pause = 0, idle
            if pause:
                await wait_for_either(stop, self._woken, pause)
            busy = tried or self._woken.is_set()
            idle = FIRST_IDLE_SECONDS if busy else min(idle * 2, LAST_IDLE_SECONDS)

    async def react(self) -> int:
        """Handle the messages that are due. Returns their number. Raises what the pool raises."""
        started_at, reaction = asyncio.get_running_loop().time(), self._reaction
        async with self._pool.acquire() as connection:
            skip_session_reset(connection)
            messages = await inbox.claim(
                connection,
                self._name,
                limit=CLAIM_LIMIT,
                latest_wins=reaction.latest_wins,
                lease=self._lease,
            )
        deadline = started_at + self._lease.total_seconds() * 2 / 3
        await asyncio.gather(*(self._handle(message, deadline) for message in messages))
        return len(messages)

    async def _pause(self, idle: float) -> float:
        async with self._pool.acquire() as connection:
            skip_session_reset(connection)
            due_in = await inbox.seconds_to_next(
                connection, self._name, latest_wins=self._reaction.latest_wins
            )
        return idle if due_in is None else max(min(idle, due_in), 0.0)

    async def _handle(self, message: InboxMessage, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._react(message)
        except ClaimLost:
            self._log_lost_claim(message)
        except Exception as error:  # noqa: BLE001 -- a reaction may raise anything
            await self._fail(message, error)

    async def _react(self, message: InboxMessage) -> None:
        if message.record is not None:
            await self._read_again(message)
            return
        envelope, reaction = envelope_of(self._reaction, message), self._reaction
        if reaction.react is not None:
            await reaction.react(envelope)
        failpoint("reaction-completing")
        # If the completion is lost after `react`, the reaction runs again, without effect.
        async with self._pool.acquire() as connection, connection.transaction():
            await inbox.complete(connection, self._name, message)
            if reaction.react_in_transaction is not None:
                await reaction.react_in_transaction(connection, envelope)
        failpoint("reaction-completed")

    async def _read_again(self, message: InboxMessage) -> None:
        """Retry a record that could not be read by an earlier version of the program."""
        assert message.record is not None  # noqa: S101 -- for the type checker
        recorded = decode(message.record).recorded
        read = read_message(self._reaction, message.record, recorded)
        if read is not None and read.record is not None:
            raise Unreadable(read.error)
        async with self._pool.acquire() as connection, connection.transaction():
            await inbox.replace(connection, self._name, message, read)

    async def _fail(self, message: InboxMessage, error: Exception) -> None:
        text = error_text(error)
        park = _must_park(error, message.attempts)
        log.warning(
            "reaction failed",
            reaction=self._name,
            event_id=str(message.event_id),
            error=text,
            attempts=message.attempts,
            parked=park,
        )
        retry_in = min(FIRST_BACKOFF * 2 ** min(message.attempts - 1, 16), LAST_BACKOFF)
        try:
            async with self._pool.acquire() as connection:
                await inbox.fail(
                    connection, self._name, message, text, retry_in=retry_in, park=park
                )
        except ClaimLost:
            self._log_lost_claim(message)
        self._measured_at = float("-inf")

    def _log_lost_claim(self, message: InboxMessage) -> None:
        event_id = str(message.event_id)
        log.warning("claim lost", reaction=self._name, event_id=event_id)

    async def _maintain(self) -> None:
        now = monotonic()
        if now >= self._measured_at + MEASURE_SECONDS:
            self._measured_at = now
            async with self._pool.acquire() as connection:
                self.backlog = await inbox.backlog(connection, self._name)
            self._publish(self.backlog)
        if now >= self._cleaned_at + CLEAN_SECONDS:
            self._cleaned_at = now
            async with self._pool.acquire() as connection:
                await inbox.forget(connection, RETENTION)

    def _publish(self, backlog: Backlog) -> None:
        PARKED.labels(self._name).set(backlog.parked)
        OLDEST.labels(self._name).set(backlog.oldest_seconds)
        if backlog.oldest_seconds > WARN_SECONDS:
            seconds = round(backlog.oldest_seconds)
            log.warning("message overdue", reaction=self._name, seconds=seconds)


def _must_park(error: Exception, attempts: int) -> bool:
    """Whether to park a message. Outages of services or the database are retried for ever."""
    if isinstance(error, PERMANENT):
        return True
    if isinstance(error, CONTENDED):
        return attempts >= CONTENDED_ATTEMPTS
    if isinstance(error, (Unavailable, ConnectionError)) or is_connection_lost(error):
        return False
    return attempts >= ATTEMPTS
