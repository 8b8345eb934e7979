"""How long to wait before a program that died is started again."""

from dataclasses import dataclass

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0
HEALTHY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """The deaths in a row so far."""

    deaths: int = 0

    def after_death(self, *, ran_seconds: float) -> "Backoff":
        """One death more; a run long enough to count as healthy forgets the earlier ones."""
        return Backoff(deaths=1 if ran_seconds >= HEALTHY_SECONDS else self.deaths + 1)

    @property
    def delay_seconds(self) -> float:
        """0.2 s after the first death, doubling up to 10 s."""
        if self.deaths == 0:
            return 0.0
        # Beyond the twentieth death the power would only grow without being used.
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.deaths - 1, 20))
