"""Which sessions are over: loaded from the service's own database, remembered in this process."""

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

MARGIN: Final = timedelta(minutes=5)
"""Clocks differ, and a pass may be signed by a process that does not know of it yet."""

BLIND_AFTER: Final = timedelta(seconds=30)
IDLE_SECONDS = 10.0
"""How often is loaded without a ring, which also shows how level the worker is."""
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
    """Remembers revoked sessions for `longest`, the longest life of any token, and some minutes.

    While the database is away, or the worker that writes the table is not level, it keeps what it
    knows, forgets what can be forgotten, and says that it may miss some: `blind_since`.
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
        self.kept = longest + MARGIN
        self._clock = clock
        self._until: dict[str, datetime] = {}
        self._seen = FROM_START
        self._level_at = clock()
        self._level = asyncio.Event()
        self._trouble = ""

    def is_revoked(self, session: str) -> bool:
        """Whether tokens of this session are worthless. A token without a session cannot be."""
        return session in self._until

    def remember(self, session: str, revoked_at: datetime) -> None:
        """Refuse the session from now on; may repeat."""
        until = revoked_at + self.kept
        if session and until > self._clock():
            self._until[session] = max(until, self._until.get(session, until))

    @property
    def blind_since(self) -> datetime | None:
        """Since when revocations may be missing here, or None while all are known.

        Before the table was level for the first time: since the start.
        """
        known = self._level.is_set() and self._clock() - self._level_at <= BLIND_AFTER
        return None if known else self._level_at

    async def known_within(self, seconds: float) -> bool:
        """Wait until the table was level for the first time; whether it was, in time.

        A process that has just started should ask before it serves: until then it would believe
        tokens that were revoked while it was down.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._level.wait()
        return self._level.is_set()

    async def check(self) -> CheckResult:
        """For readiness: always good, for to take the service away would make nothing safer."""
        blind = self.blind_since
        return CheckResult(True, f"blind since {blind:%H:%M:%S} UTC" if blind else "")

    async def follow(self) -> None:
        """Load what is new until cancelled, whatever becomes of the database."""
        with self._doorbell.subscribe(RUNG) as rung:
            while True:
                try:
                    self._take(await self._load(self._seen))
                    self._complain("")
                except Exception as error:  # noqa: BLE001 -- to stop for good would be worse
                    # Another database may answer next, whose transactions have other numbers.
                    self._seen = FROM_START
                    self._complain(type(error).__name__)
                self._tidy()
                await asyncio.sleep(PAUSE_SECONDS)
                await rung.wait(RETRY_SECONDS if self._trouble else IDLE_SECONDS)

    def _take(self, loaded: Loaded) -> None:
        for session, revoked_at in loaded.sessions.items():
            self.remember(session, revoked_at)
        self._seen = loaded.seen
        level_at = self._clock() - loaded.age
        if loaded.age <= BLIND_AFTER:
            self._level.set()
        if self._level.is_set():
            self._level_at = max(self._level_at, level_at)

    def _complain(self, trouble: str) -> None:
        """Log what is wrong, once."""
        if trouble and trouble != self._trouble:
            log.warning("revocations not loaded", error=trouble)
        self._trouble = trouble

    def _tidy(self) -> None:
        now = self._clock()
        over = [session for session, until in self._until.items() if until <= now]
        for session in over:
            del self._until[session]
        REVOKED.set(len(self._until))
        blind = self.blind_since
        BLIND.set(blind.timestamp() if blind else 0)


@asynccontextmanager
async def following(revocations: Revocations) -> AsyncIterator[None]:
    """Load meanwhile. Entered once what was revoked before is known, or after `FIRST_SECONDS`:
    a service whose worker is not level still serves, and says that it is blind.
    """
    task = asyncio.create_task(revocations.follow(), name="revocations")
    try:
        await revocations.known_within(FIRST_SECONDS)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
