"""Clocks that only a test moves."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass
class Clock:
    """A `libs.clock.Clock`: the current time in UTC."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        """Move the clock by a `timedelta` with these arguments."""
        self.now += timedelta(**duration)


@dataclass
class MonotonicClock:
    """A clock like `time.monotonic`, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`."""
        self.now += seconds
