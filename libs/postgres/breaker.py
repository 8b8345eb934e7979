"""A circuit breaker for Postgres: waits for a server that does not answer fail early."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Final, NamedTuple

import structlog
from prometheus_client import Gauge

from libs.errors import Unavailable

INTERVAL_SECONDS = 0.5
"""The interval of checks for slow operations, and of probes while the breaker is open."""
SLOW_SECONDS = 1.0
"""After this time an operation is slow, and the server is probed. A probe may take `PROBE_SECONDS`,
so that together with the interval an operation on a dead server fails within 4 s."""
PROBE_SECONDS = 2.5

OPEN: Final = Gauge(
    "tillstream_database_breaker_open",
    "Pools that refuse at once because the database does not answer",
    multiprocess_mode="livesum",
)

log = structlog.get_logger("postgres")


class _Operation(NamedTuple):
    since: float
    abort: Callable[[], object]


class CircuitBreaker:
    """Opens when the server stops answering, closes when it answers again.

    `probe` returns in bounded time whether the server answers. It is called while an operation is
    slow, so it costs nothing while the server is fast or idle, and a slow statement is left alone
    if the server answers. On opening, `on_open` is awaited and all operations are aborted.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[bool]],
        on_open: Callable[[], Awaitable[None]],
    ) -> None:
        self._probe = probe
        self._on_open = on_open
        self._operations: dict[object, _Operation] = {}
        self._answered_at = 0.0
        self._supervision: asyncio.Task[None] | None = None
        self.is_open = False

    @contextmanager
    def operation(self, abort: Callable[[], object]) -> Iterator[None]:
        """Watch an operation on the server; `abort` ends it and must not raise.

        Raises Unavailable at once while the breaker is open.
        """
        if self.is_open:
            raise Unavailable
        key = object()
        self._operations[key] = _Operation(asyncio.get_running_loop().time(), abort)
        if self._supervision is None:
            # An empty context, because the task does not belong to one request's trace.
            self._supervision = asyncio.create_task(
                self._supervise(), name="postgres-breaker", context=Context()
            )
        try:
            yield
        finally:
            del self._operations[key]

    def close(self) -> None:
        """Stop probing."""
        if self._supervision is not None:
            self._supervision.cancel()

    async def _supervise(self) -> None:
        try:
            while self._operations or self.is_open:
                await asyncio.sleep(INTERVAL_SECONDS)
                if self.is_open or self._is_slow():
                    await self._note(await self._probe())
        finally:
            self._supervision = None
            self._set_open(False)

    def _is_slow(self) -> bool:
        oldest = next(iter(self._operations.values()), None)
        if oldest is None:
            return False
        since = max(oldest.since, self._answered_at)
        return asyncio.get_running_loop().time() - since >= SLOW_SECONDS

    async def _note(self, answered: bool) -> None:
        if answered:
            self._answered_at = asyncio.get_running_loop().time()
            self._set_open(False)
        elif not self.is_open:
            self._set_open(True)
            await self._on_open()
            for operation in [*self._operations.values()]:
                operation.abort()

    def _set_open(self, is_open: bool) -> None:
        if is_open != self.is_open:
            log.warning("database does not answer" if is_open else "database answers again")
            OPEN.inc(1 if is_open else -1)
        self.is_open = is_open
