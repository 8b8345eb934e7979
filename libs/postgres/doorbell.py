"""Wakes waiters for changes in the database: in this process at once, in others by NOTIFY.

A ring says that something may have changed, never what. Rings may be lost, for example while the
connection is down, so a waiter also reads after a timeout of its own. The order is: subscribe,
read, wait.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Self, TypeAlias

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from libs.postgres.liveness import SERVER_SETTINGS, LiveConnection
from libs.postgres.rls import application_role
from libs.process.concurrency import reraise_cancellation

APPENDED: Final = "appended"
"""Events were written to the service's log."""
PROJECTED: Final = "projected"
"""A page of the log was applied to the read models."""
REVOKED: Final = "revoked"
"""A session was revoked."""
FORGOTTEN: Final = "forgotten"
"""A person's key was destroyed."""

PAUSE_SECONDS: Final = 0.005
"""The pause between two notifications of a process; later rings go with the next one."""
HEARTBEAT_SECONDS = 10.0
"""The interval of queries on an idle connection, which detect a server that vanished."""
ANSWER_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
FLUSH_SECONDS: Final = 1.0
"""How long a stop waits for unsent rings; the rest is lost."""

NOTIFIED: Final = Counter("tillstream_doorbell_notified", "Notifications sent to other processes")
LISTENING: Final = Gauge(
    "tillstream_doorbell_listening",
    "1 while rings of other processes arrive",
    multiprocess_mode="livemin",
)

NOTIFY: Final = "SELECT pg_notify($1, topic) FROM unnest($2::text[]) AS topic"

_NOTIFY_AT_COMMIT: Final = """
SELECT pg_notify(current_schema() || '_doorbell', topic) FROM unnest($1::text[]) AS topic
"""

Listener: TypeAlias = Callable[[], object]
_Connection: TypeAlias = Any

log = structlog.get_logger("doorbell")


async def ring_at_commit(connection: Any, *topics: str) -> None:
    """Ring in all processes when the connection's transaction commits, and only then.

    For rare changes, because such a commit takes a lock on the whole database; others use
    `Doorbell.ring`. The connection's schema is that of the service.
    """
    await connection.execute(_NOTIFY_AT_COMMIT, list(topics))


class Subscription:
    """Rings of some topics. All rings since the last `wait` count as one.

    Also an asynchronous iterator, and a context manager that unsubscribes.
    """

    def __init__(self, doorbell: "Doorbell", topics: tuple[str, ...]) -> None:
        self._rung = asyncio.Event()
        self._remove = doorbell.add_listener(self._rung.set, *topics)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for a ring, for at most `seconds`. Returns whether there was one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        rung = self._rung.is_set()
        self._rung.clear()
        return rung

    def close(self) -> None:
        """Unsubscribe. Safe to repeat."""
        self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        await self.wait()


class Doorbell:
    """Rings topics in all processes that use one schema.

    Without `run` it rings in this process only. With `run` one connection sends and receives: the
    first ring is sent at once, later ones at most every `PAUSE_SECONDS`. Each notification is a
    transaction of its own, because its commit takes a transaction id and a lock on the whole
    database. While the connection is down, rings are queued.
    """

    def __init__(self, dsn: str, service: str) -> None:
        self._dsn = dsn
        self._settings = {
            "application_name": f"{service} doorbell",
            "role": application_role(service),
            "synchronous_commit": "off",
            "idle_session_timeout": "0",
            **SERVER_SETTINGS,
        }
        self._channel = f"{service}_doorbell"
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._unsent: set[str] = set()
        self._sending: set[str] = set()
        self._work = asyncio.Event()
        self._connection: _Connection = None
        self._trouble = ""

    @property
    def is_listening(self) -> bool:
        """Whether rings of other processes arrive. If not, waiters should read more often."""
        return self._connection is not None

    def ring(self, *topics: str) -> None:
        """Wake the waiters for the topics, those of this process at once. Never fails or waits.

        Ring only after the commit of a change.
        """
        self._wake(*topics)
        self._unsent.update(topics)
        self._work.set()

    def subscribe(self, *topics: str) -> Subscription:
        """Subscribe to rings from now on."""
        return Subscription(self, topics)

    def add_listener(self, listener: Listener, *topics: str) -> Callable[[], None]:
        """Call `listener` at every ring, and when rings may have been missed.

        It must neither raise nor take long. Returns a function that removes it, safe to repeat.
        """
        # An object of its own, so that one function can listen twice.
        own = partial(listener)
        for topic in topics:
            self._listeners[topic].add(own)

        def remove() -> None:
            for topic in topics:
                self._listeners[topic].discard(own)

        return remove

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until `stop`, through outages of the database; then send queued rings."""
        serving = asyncio.ensure_future(self._stay_connected())
        try:
            await stop.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    while self.is_listening and (self._unsent or self._sending):
                        await asyncio.sleep(PAUSE_SECONDS)
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 -- a new connection follows any error
                reraise_cancellation(error)
                self._log_trouble(type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _serve(self) -> None:
        """Run one connection until it ends. Raises what asyncpg raises."""
        connection: _Connection = await asyncpg.connect(
            self._dsn,
            timeout=ANSWER_SECONDS,
            command_timeout=ANSWER_SECONDS,
            connection_class=LiveConnection,
            server_settings=self._settings,
        )
        try:
            connection.add_termination_listener(self._on_terminated)
            await connection.add_listener(self._channel, self._on_notified)
            self._set_connection(connection)
            # Rings before this moment may have been missed.
            self._wake(*self._listeners)
            await self._send_rings(connection)
        finally:
            self._set_connection(None)
            connection.terminate()

    async def _send_rings(self, connection: _Connection) -> None:
        while not connection.is_closed():
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._work.wait()
            except TimeoutError:
                await connection.execute("SELECT")
                continue
            self._work.clear()
            if self._unsent:
                await self._notify(connection)
                await asyncio.sleep(PAUSE_SECONDS)
        raise ConnectionResetError

    async def _notify(self, connection: _Connection) -> None:
        self._sending, self._unsent = self._unsent, set()
        try:
            await connection.execute(NOTIFY, self._channel, sorted(self._sending))
            NOTIFIED.inc()
        except BaseException:
            # It may have been sent all the same; an extra ring does no harm.
            self._unsent |= self._sending
            self._work.set()
            raise
        finally:
            self._sending = set()

    def _on_notified(self, connection: _Connection, pid: int, _: str, topic: str) -> None:
        if pid != connection.get_server_pid():
            self._wake(topic)

    def _on_terminated(self, _: _Connection) -> None:
        self._work.set()

    def _wake(self, *topics: str) -> None:
        for topic in topics:
            for listener in tuple(self._listeners.get(topic, ())):
                listener()

    def _set_connection(self, connection: _Connection) -> None:
        self._connection = connection
        LISTENING.set(connection is not None)
        if connection is not None:
            self._log_trouble("")

    def _log_trouble(self, trouble: str) -> None:
        """Log a new error once."""
        if trouble and trouble != self._trouble:
            log.warning("doorbell not connected", error=trouble)
        self._trouble = trouble


@asynccontextmanager
async def open_doorbell(dsn: str, service: str) -> AsyncIterator[Doorbell]:
    """The doorbell of this process for a service, connected in the background.

    All users in the process share one doorbell and its connection. The last user closes it.
    """
    key = asyncio.get_running_loop(), dsn, service
    if (shared := _shared.get(key)) is None:
        shared = _shared[key] = _Shared(Doorbell(dsn, service))
    shared.users += 1
    try:
        yield shared.doorbell
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[key]
            await shared.close()


class _Shared:
    def __init__(self, doorbell: Doorbell) -> None:
        self.doorbell, self.users, self._stop = doorbell, 0, asyncio.Event()
        self._running = asyncio.create_task(doorbell.run(self._stop), name="doorbell")

    async def close(self) -> None:
        self._stop.set()
        await self._running


_shared: Final[dict[tuple[asyncio.AbstractEventLoop, str, str], _Shared]] = {}
