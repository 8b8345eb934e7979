"""Limits on attempts in a window of time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from libs.errors import RateLimit


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most `most` attempts in a `window`, which begins with the first attempt."""

    most: int
    window: timedelta

    @property
    def limit(self) -> RateLimit:
        """The limit as clients see it."""
        seconds = int(self.window.total_seconds())
        return RateLimit(name="one-time-code", quota=self.most, window_seconds=seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class TooMany:
    """Too many attempts. `retry_after` are the seconds until the next one, at least 1."""

    retry_after: int
    limit: RateLimit | None = None
    """None if another code can be requested at once."""


def too_many(allowed: Allowance, until: datetime, now: datetime) -> TooMany:
    """The refusal of attempts before `until`."""
    seconds = max(1, ceil((until - now).total_seconds()))
    return TooMany(retry_after=seconds, limit=allowed.limit)
