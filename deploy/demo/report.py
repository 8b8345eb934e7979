"""The report for people: the progress of the day, and at the end the comparison."""

import time
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.demo.day import Day, Verdict

FILE_WIDTH: Final = 200


def progress(day: Day) -> str:
    """The day so far in one line."""
    figures = day.figures()
    outages, outage_seconds = day.outages()
    if day.started_at is None:
        return f"The day is {day.stage}."
    seconds = max(time.monotonic() - day.started_at, 0.001)
    parts = [
        f"{day.stage}: {figures.acknowledged:,} of {figures.planned_events:,} events acknowledged",
        f"{figures.sent:,} sent",
        f"{figures.known:,} duplicates",
        f"{figures.refused:,} quarantined",
    ]
    if day.stage == "scanning":
        parts.append(f"{figures.sent / seconds:,.0f}/s")
    parts.append(
        f"{outages} outages" + (f", one for {outage_seconds:.0f} s" * (outage_seconds > 0))
    )
    return " · ".join(parts)


def show(verdict: Verdict, console: Console) -> None:
    """The comparison and its sum."""
    if not console.is_terminal:
        # A file has no edge: there a line is as long as it has to be.
        console.width = max(console.width, FILE_WIDTH)
    console.print(_table(verdict))
    for text in verdict.wrong[:5]:
        console.print(f"Wrong answer: {text}", markup=False)
    figures, lines = verdict.figures, verdict.lines
    wrong = sum(1 for line in lines if not line.agrees)
    console.print(
        f"{figures.acknowledged:,} events in {verdict.play_seconds:.1f} s, {figures.sent:,} sent "
        f"with repeats, {figures.known:,} answered as duplicates, {figures.refused:,} as "
        f"quarantined, {verdict.outages} outages.",
        markup=False,
    )
    troubles = ", ".join(f"{name} {count}" for name, count in sorted(verdict.troubles.items()))
    console.print(f"On the way: {troubles}.", markup=False)
    result = (
        f"What was sent and what is shown agree in all {len(lines)} lines."
        if verdict.agrees
        else f"They DISAGREE in {wrong} of {len(lines)} lines."
    )
    console.print(result, style="bold green" if verdict.agrees else "bold red", markup=False)


def _table(verdict: Verdict) -> Table:
    table = Table(title="The day, as sent and as shown", title_justify="left", box=None)
    for title in ("", "sent", "shown", "agree"):
        table.add_column(title, overflow="fold")
    for line in verdict.lines:
        # Texts, not strings: what devices sent must not be read as markup.
        cells = (line.what, _text(line.sent), _text(line.displayed), "yes" if line.agrees else "NO")
        style = "" if line.agrees else "bold red"
        table.add_row(*(Text(cell) for cell in cells), style=style)
    return table


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
