"""What a line of the table is: samples of ours beside samples of a limit or a peer, and a goal.

And the result: a table for people, and the same as JSON.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.files import write_whole
from tests.bench.costs import Cost

PATIENCE_SECONDS: Final = 300.0
"""How long a sample may take before it counts as hanging."""

NARROWEST = 140
NAME_WIDTH = 48
GOALS = {True: ("reached", "green"), False: ("missed", "bold red"), None: ("", "")}

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


def at_most(bound: float) -> Goal:
    """So many times the reference, or less."""
    return Goal(bound=bound, at_least=False, text=f"≤ {bound:g}×")


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
    costs: Sequence[Cost] = ()

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


def reaching(name: str, ours: Sequence[float], *, limit: float, unit: str) -> Measured:
    """As many as `limit` or more."""
    goal = Goal(bound=1.0, at_least=True, text=f"≥ {limit:,g} {unit}")
    return Measured(name, ours, (limit,), unit=unit, goal=goal)


def limited(name: str, ours: Sequence[float], *, limit: float, unit: str, **more: Any) -> Measured:
    return Measured(name, ours, (limit,), unit=unit, goal=below(limit, unit), **more)


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
    at_once_rounds: int = 3
    sheet_rows: int = 20_000
    products: int = 10_000
    warm_starts: int = 2
    rest_seconds: float = 30.0
    shop_items: int = 1000
    shop_orders: int = 1500
    shop_listed: tuple[int, int] = (1_000, 100_000)


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
    at_once_rounds=2,
    sheet_rows=500,
    products=200,
    warm_starts=1,
    rest_seconds=2.0,
    shop_items=20,
    shop_orders=60,
    shop_listed=(100, 1_000),
)


def interleaved(rounds: int, tell: Tell, *sides: Side) -> list[list[float]]:
    """One sample of each side in turn, so that what disturbs the machine disturbs all of them.

    A first round warms all sides up and does not count.
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


def as_json(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """Medians, ratio and samples of every row; `met` is null where there is no goal."""
    return [
        {
            "name": row.name,
            "ours": _median(row.ours),
            "reference": _median(row.reference),
            "unit": row.unit,
            "ratio": row.ratio,
            "goal": row.goal.text if row.goal else None,
            "met": row.met,
            "note": row.note,
            "costs": [cost.as_json() for cost in row.costs],
            "samples": {"ours": [*row.ours], "reference": [*row.reference]},
        }
        for row in rows
    ]


def write_json(rows: Sequence[Measured], file: Path) -> None:
    """Replace the file of an earlier run."""
    write_whole(file, json.dumps(as_json(rows), indent=2, ensure_ascii=False) + "\n")


def show(rows: Sequence[Measured], console: Console, *, caption: str) -> None:
    """Print a row per ratio, medians with their spread, wide enough also without a terminal."""
    console.width = max(console.width, NARROWEST)
    table = Table(caption=caption, caption_justify="left")
    table.add_column("line", min_width=NAME_WIDTH)
    for heading in ("ours", "reference", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("unit", "goal", ""):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        word, style = GOALS[row.met]
        name = Text(row.name)
        if row.note:
            name.append(f"\n  {row.note}", style="dim")
        table.add_row(
            name,
            _spread(row.ours),
            _spread(row.reference),
            "" if row.ratio is None else _ratio(row.ratio),
            row.unit,
            row.goal.text if row.goal else "",
            Text(word, style=style),
        )
    console.print(table)
    for cost in [cost for row in rows for cost in row.costs]:
        console.print(cost.table())


def _ratio(value: float) -> str:
    return f"{value:.2f}×" if value >= 0.1 else f"{value:.3f}×"


def _median(samples: Sequence[float]) -> float | None:
    return median(samples) if samples else None


def _spread(samples: Sequence[float]) -> str:
    """Median, and below it the least and the greatest of how many."""
    if not samples:
        return ""
    if len(samples) == 1:
        return _figure(samples[0])
    least, greatest = _figure(min(samples)), _figure(max(samples))
    return f"{_figure(median(samples))}\n{least} – {greatest} ({len(samples)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
