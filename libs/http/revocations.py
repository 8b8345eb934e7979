"""The revoked sessions, loaded from the service's own database and cached in this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import structlog
from prometheus_client import Gauge

from libs.clock import Clock, utc_now
from libs.http.health import CheckResult
from libs.http.revoked_sessions import FROM_START, Loaded
from libs.postgres.doorbell import REVOKED as RUNG
from libs.postgres.doorbell import Doorbell
from libs.process.concurrency import reraise_cancellation

MARGIN: Final = timedelta(minutes=5)
"""Clocks differ, and a process that does not know of the revocation yet may sign a token."""

BLIND_AFTER: Final = timedelta(seconds=30)
IDLE_SECONDS = 10.0
"""Seconds between two loads without a ring; each also tells how far behind the worker is."""
PAUSE_SECONDS: Final = 0.02
RETRY_SECONDS = 1.0
FIRST_SECONDS: Final = 5.0

BLIND: Final = Gauge(
    "tillstream_revocations_blind_since_seconds",
    "Since when revoked sessions may be missed, in Unix time; 0 while none is",
    multiprocess_mode="livemax",
)
REVOKED: Final = Gauge(
    "tillstream_revoked_sessions",
    "Sessions remembered as revoked",
    multiprocess_mode="livemax",
)

LoadRevocations: TypeAlias = Callable[[str], Awaitable[Loaded]]
"""Compare `revoked_sessions.load`."""

log = structlog.get_logger("revocations")


class Revocations:
    """A cache of revoked sessions, kept for `longest`, the longest life of any token, and `MARGIN`.

    While the database is unavailable, or the worker that fills the table is behind, known
    revocations stay in force until they expire, and `blind_since` tells that others may be missing.
    """

    def __init__(
        self,
        load: LoadRevocations,
        doorbell: Doorbell,
        *,
        longest: timedelta,
        clock: Clock = utc_now,
    ) -> None:
        self._load = load
        self._doorbell = doorbell
        self.retention = longest + MARGIN
        self._clock = clock
        self._until: dict[str, datetime] = {}
        self._seen = FROM_START
        self._level_at = clock()
        self._level = asyncio.Event()
        self._trouble = ""

    def is_revoked(self, session: str) -> bool:
        """Whether the session is revoked. A token without a session never is."""
        return session in self._until

    def remember(self, session: str, revoked_at: datetime) -> None:
        """Treat the session as revoked from now on. Safe to repeat."""
        until = revoked_at + self.retention
        if session and until > self._clock():
            self._until[session] = max(until, self._until.get(session, until))

    @property
    def blind_since(self) -> datetime | None:
        """Since when revocations may be missing here; None while all are known.

        That is the start of the process until the table is level for the first time.
        """
        is_complete = self._level.is_set() and self._clock() - self._level_at <= BLIND_AFTER
        return None if is_complete else self._level_at

    async def known_within(self, seconds: float) -> bool:
        """Wait until the table is level for the first time; whether it was in time.

        Call it before the process serves: until then it would accept tokens that were revoked while
        it was down.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._level.wait()
        return self._level.is_set()

    async def check(self) -> CheckResult:
        """The readiness check. It never fails, since a stopped service would be no safer."""
        blind = self.blind_since
        return CheckResult(True, f"blind since {blind:%H:%M:%S} UTC" if blind else "")

    async def follow(self) -> None:
        """Load new revocations until cancelled. Survives failures of the database."""
        with self._doorbell.subscribe(RUNG) as rung:
            while True:
                try:
                    self._add(await self._load(self._seen))
                    self._report("")
                except Exception as error:  # noqa: BLE001 -- to stop for good would be worse
                    reraise_cancellation(error)
                    # The next load may reach another database, with other transaction ids.
                    self._seen = FROM_START
                    self._report(type(error).__name__)
                self._expire()
                await asyncio.sleep(PAUSE_SECONDS)
                await rung.wait(RETRY_SECONDS if self._trouble else IDLE_SECONDS)

    def _add(self, loaded: Loaded) -> None:
        for session, revoked_at in loaded.sessions.items():
            self.remember(session, revoked_at)
        self._seen = loaded.seen
        level_at = self._clock() - loaded.age
        if loaded.age <= BLIND_AFTER:
            self._level.set()
        if self._level.is_set():
            self._level_at = max(self._level_at, level_at)

    def _report(self, trouble: str) -> None:
        """Log trouble when it begins or changes."""
        if trouble and trouble != self._trouble:
            log.warning("revocations not loaded", error=trouble)
        self._trouble = trouble

    def _expire(self) -> None:
        now = self._clock()
        expired = [session for session, until in self._until.items() if until <= now]
        for session in expired:
            del self._until[session]
        REVOKED.set(len(self._until))
        blind = self.blind_since
        BLIND.set(blind.timestamp() if blind else 0)


@asynccontextmanager
async def following(revocations: Revocations) -> AsyncIterator[None]:
    """Follow revocations in the background.

    Entered when earlier revocations are known, or after `FIRST_SECONDS`: a service whose worker is
    behind still serves, and reports that it is blind.
    """
    task = asyncio.create_task(revocations.follow(), name="revocations")
    try:
        await revocations.known_within(FIRST_SECONDS)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
