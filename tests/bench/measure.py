"""What a line of the table is: samples of ours beside samples of a limit or a peer, and a goal."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from statistics import median
from typing import Final, TypeAlias

PATIENCE_SECONDS: Final = 300.0
"""How long a sample may take before it counts as hanging."""

Side: TypeAlias = Callable[[], float]
"""Takes one sample."""

Tell: TypeAlias = Callable[[str], None]


class Skipped(Exception):
    """A line cannot be measured here; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What `ours / reference` must be: at least `bound`, or else below it."""

    bound: float
    at_least: bool
    text: str

    def met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio < self.bound


def at_least(bound: float) -> Goal:
    """So many times the reference, or more."""
    return Goal(bound=bound, at_least=True, text=f"≥ {bound:g}×")


def below(limit: float, unit: str) -> Goal:
    """Under a limit, which is then the reference."""
    return Goal(bound=1.0, at_least=False, text=f"< {limit:g} {unit}")


FLAT = Goal(bound=1.5, at_least=False, text="flat (< 1.5×)")


@dataclass(frozen=True, slots=True)
class Measured:
    """One row. Both sides hold their samples in the order they were taken."""

    name: str
    ours: Sequence[float]
    reference: Sequence[float] = ()
    _: KW_ONLY
    unit: str = "events/s"
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The medians', None without a reference."""
        if not self.reference or not median(self.reference):
            return None
        return median(self.ours) / median(self.reference)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        ratio = self.ratio
        return None if self.goal is None or ratio is None else self.goal.met(ratio)


def limited(
    name: str, ours: Sequence[float], *, limit: float, unit: str, note: str = ""
) -> Measured:
    return Measured(name, ours, (limit,), unit=unit, goal=below(limit, unit), note=note)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much is done for one sample. The defaults are for figures, `QUICK` is for smoke."""

    rounds: int = 5
    appends: int = 6400
    library_appends: int = 960
    batches: int = 1500
    peer_batches: int = 300
    calm_seconds: float = 4.0
    logins: int = 300
    login_seconds: float = 6.0
    whole_seconds: float = 8.0
    records: int = 40_000
    fresh_seconds: float = 15.0
    stored: tuple[int, int, int] = (10_000, 100_000, 1_000_000)
    state_requests: int = 60
    state_seconds: float = 20.0
    sheet_rows: int = 20_000
    products: int = 10_000
    warm_starts: int = 2


QUICK = Scale(
    rounds=2,
    appends=320,
    library_appends=64,
    batches=60,
    peer_batches=20,
    calm_seconds=0.5,
    logins=20,
    login_seconds=1.0,
    whole_seconds=1.5,
    records=6_000,
    fresh_seconds=1.0,
    stored=(2_000, 6_000, 20_000),
    state_requests=10,
    state_seconds=1.5,
    sheet_rows=500,
    products=200,
    warm_starts=1,
)


def interleaved(rounds: int, tell: Tell, *sides: Side) -> list[list[float]]:
    """One sample of each side in turn, so that what disturbs the machine disturbs all of them.

    A first round warms everybody up and does not count.
    """
    samples: list[list[float]] = [[] for _ in sides]
    for n in range(rounds + 1):
        tell(f"round {n} of {rounds}" if n else "warming up")
        for side, taken in zip(sides, samples, strict=True):
            sample = side()
            if n:
                taken.append(sample)
    return samples


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` between 0 and 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
