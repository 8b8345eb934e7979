"""The result: a table for people, and the same as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.local.files import write_whole
from tests.bench.measure import Measured

NARROWEST = 140
NAME_WIDTH = 48
GOALS = {True: ("reached", "green"), False: ("missed", "bold red"), None: ("", "")}


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
            "" if row.ratio is None else f"{row.ratio:.2f}×",
            row.unit,
            row.goal.text if row.goal else "",
            Text(word, style=style),
        )
    console.print(table)


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
