"""The progress of a follower of the log, for health checks and metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from libs.errors import Unavailable
from libs.postgres.error_text import error_text


@dataclass(slots=True)
class Progress:
    """The state of a follower.

    `trouble` is the last error, since `troubled_since` (monotonic seconds), and None while pages
    are applied. `lag` counts events, `parked` counts streams by read model. `started` becomes true
    at the first time without trouble.
    """

    started: bool = False
    following: bool = False
    lag: int = 0
    parked: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None
    troubled_since: float = 0.0

    def note(self, error: Exception) -> None:
        """Record an error as trouble."""
        if self.trouble is None:
            self.troubled_since = monotonic()
        if isinstance(error, Unavailable) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        self.trouble = error_text(error)

    def clear(self) -> None:
        """Record that there is no trouble."""
        self.trouble = None
        self.started = True


def combined(shards: Sequence[Progress]) -> Progress:
    """One progress for several shards: the worst of each value."""
    if len(shards) == 1:
        return shards[0]
    parked: Counter[str] = Counter()
    for one in shards:
        parked.update(one.parked)
    troubled = [one for one in shards if one.trouble is not None]
    worst = min(troubled, key=lambda one: one.troubled_since, default=shards[0])
    return Progress(
        started=all(one.started for one in shards),
        following=any(one.following for one in shards),
        lag=max(one.lag for one in shards),
        parked=parked,
        trouble=worst.trouble,
        troubled_since=worst.troubled_since,
    )
