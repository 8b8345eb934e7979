"""Clocks that stand still until a test moves them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass
class Clock:
    """The present moment in UTC, as `libs.clock.Clock`."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        """Let a `timedelta` pass."""
        self.now += timedelta(**duration)


@dataclass
class MonotonicClock:
    """Seconds since any moment, as `time.monotonic`."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
