"""How often something may be tried in a window of time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from libs.errors import RateLimit


@dataclass(frozen=True, slots=True)
class Allowance:
    """`most` in `window`, which begins with the first."""

    most: int
    window: timedelta

    @property
    def limit(self) -> RateLimit:
        """As clients see it."""
        seconds = int(self.window.total_seconds())
        return RateLimit(name="one-time-code", quota=self.most, window_seconds=seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class TooMany:
    """Too many tries or requests; in so many seconds (at least 1) there is room again."""

    retry_after: int
    limit: RateLimit | None = None
    """None if there is room for another code at once."""


def too_many(allowed: Allowance, until: datetime, now: datetime) -> TooMany:
    """The refusal that holds until `until`."""
    seconds = max(1, ceil((until - now).total_seconds()))
    return TooMany(retry_after=seconds, limit=allowed.limit)
