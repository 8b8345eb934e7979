"""How the following of the log goes on, for health checks and metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from libs.errors import Unavailable


@dataclass(slots=True)
class Progress:
    """What a health check may ask of a follower. `trouble` began at `troubled_since` (monotonic
    seconds) and is None while pages are applied; `lag` counts events. `started` is whether there
    ever was a time without trouble."""

    started: bool = False
    following: bool = False
    lag: int = 0
    parked: Mapping[str, int] = field(default_factory=dict)
    trouble: str | None = None
    troubled_since: float = 0.0

    def note(self, error: Exception) -> None:
        """There is trouble, or more of it."""
        if self.trouble is None:
            self.troubled_since = monotonic()
        if isinstance(error, Unavailable) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        self.trouble = f"{type(error).__name__}: {error}"

    def clear(self) -> None:
        """All is well."""
        self.trouble = None
        self.started = True


def together(shards: Sequence[Progress]) -> Progress:
    """One progress of several shards: the worst of each."""
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
