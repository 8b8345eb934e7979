"""The progress of an import on the terminal, and its account at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from services.ingest.imports.handlers.importing import Account, ProgressListener, Report

PLAIN_EVERY: Final = 50_000
"""How many rows pass between two lines where there is no terminal to draw a bar on."""


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s")


@contextmanager
def progress(console: Console) -> Iterator[ProgressListener]:
    """A bar for each worksheet on a terminal, a line now and then anywhere else."""
    if not console.is_terminal:
        yield _in_lines(console)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, _Speed(), TimeRemainingColumn(), console=console) as bars:
        last: list[tuple[str, int]] = []

        def report(name: str, done: int, rows: int | None) -> None:
            if not done:
                last[:] = [(name, bars.add_task(name, total=rows))]
            bars.update(bars.task_ids[-1], completed=done, total=rows)

        yield report


def show(console: Console, report: Report, *, dry: bool) -> None:
    """The account of each file and of all, and what was wrong with those that were given up."""
    table = Table(
        Column("file", overflow="fold"),
        *(Column(name, justify="right") for name in ("total", *_counts(dry), "rejected")),
        show_footer=len(report.accounts) > 1,
    )
    for account in report.accounts:
        table.add_row(Text(account.name), *map(str, _numbers(account)))
    sums = map(sum, zip(*map(_numbers, report.accounts), strict=True))
    for column, text in zip(table.columns, ("together", *map(str, sums)), strict=True):
        column.footer = text
    console.print(table)


def _counts(dry: bool) -> tuple[str, str]:
    return ("would be inserted", "would be skipped") if dry else ("inserted", "skipped")


def _numbers(account: Account) -> tuple[int, int, int, int]:
    return account.total, account.inserted, account.skipped, account.rejected


def _in_lines(console: Console) -> ProgressListener:
    def report(name: str, done: int, rows: int | None) -> None:
        of_all = f" of {rows}" if rows is not None else ""
        if done == 0 or done == rows or done % PLAIN_EVERY == 0:
            console.print(f"{name}: {done}{of_all} rows", markup=False, highlight=False)

    return report
