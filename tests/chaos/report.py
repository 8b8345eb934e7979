"""What a run of the matrix found: as it goes, as a table, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.files import write_whole
from tests.chaos.plan import Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One fault as it was played. `fails` is the column that must not be 0, or `late`, for a
    guarantee that was switched off; None where all of them must be."""

    name: str
    rounds: int
    seed: int
    seconds: float
    outcome: Outcome
    fails: str | None = None

    @property
    def good(self) -> bool:
        if self.fails is None:
            return self.outcome.clean
        # Any other complaint says that the play itself went wrong: the mutation proved nothing.
        due = self.outcome.late if self.fails == "late" else 0
        return bool(getattr(self.outcome, self.fails)) and len(self.outcome.complaints) == due


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    seed: int
    seconds: float
    faults: Sequence[Line]
    mutations: Sequence[Line]

    @property
    def good(self) -> bool:
        """Whether every fault left everything as promised, and every mutation was noticed."""
        return all(line.good for line in (*self.faults, *self.mutations))

    def write(self, file: Path) -> None:
        """Replace `file` by the report as JSON."""
        content = {
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "good": self.good,
            "lost": sum(line.outcome.lost for line in self.faults),
            "doubled": sum(line.outcome.doubled for line in self.faults),
            "disordered": sum(line.outcome.disordered for line in self.faults),
            "rounds": sum(line.rounds for line in self.faults),
            "faults": [_record(line) for line in self.faults],
            "mutations": [_record(line) for line in self.mutations],
        }
        write_whole(file, json.dumps(content, indent=2) + "\n")


def _record(line: Line) -> dict[str, Any]:
    return {
        "fault": line.name,
        "rounds": line.rounds,
        **asdict(line.outcome),
        "seed": line.seed,
        "seconds": round(line.seconds, 1),
        "must_fail": line.fails,
        "good": line.good,
    }


def show(report: Report, console: Console) -> None:
    """Both tables, what went wrong, and the sum."""
    console.print(_table("Faults", report.faults))
    console.print(_table("The same with a guarantee switched off: must fail", report.mutations))
    for line in (*report.faults, *report.mutations):
        if not line.good:
            for text in (*line.outcome.complaints, *line.outcome.examples):
                console.print(f"{line.name}: {text}", markup=False)
    rounds = sum(line.rounds for line in report.faults)
    events = sum(line.outcome.events for line in report.faults)
    summary = (
        f"{rounds:,} rounds, {events:,} events: nothing lost, doubled or out of order, and every "
        "guarantee was missed when it was off."
        if report.good
        else "NOT as promised: see above."
    )
    style = "bold green" if report.good else "bold red"
    console.print(f"{summary} SEED={report.seed} plays it again.", style=style, markup=False)


def _table(title: str, lines: Sequence[Line]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("fault", "rounds", "events", "sent again", "lost", "doubled", "disordered"):
        table.add_column(name, justify="left" if name == "fault" else "right", no_wrap=True)
    for name in ("seed", "seconds", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        cells = (*cells_of(line), "" if line.good else "WRONG")
        table.add_row(*(Text(cell) for cell in cells), style="" if line.good else "bold red")
    return table


def cells_of(line: Line) -> tuple[str, ...]:
    outcome = line.outcome
    numbers = (outcome.events, outcome.again, outcome.lost, outcome.doubled, outcome.disordered)
    return (
        line.name,
        f"{line.rounds:,}",
        *(f"{number:,}" for number in numbers),
        str(line.seed),
        f"{line.seconds:.1f}",
    )
