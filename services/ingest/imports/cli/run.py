"""A run of the import command: signals, progress, report and exit status."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

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

from libs.clock import utc_now
from libs.errors import Unavailable
from libs.eventsourcing.store import new_event_id
from libs.process.database_command import open_command_context, status_of
from libs.process.service import Service
from services.ingest.imports.adapters.spreadsheet import open_spreadsheet
from services.ingest.imports.adapters.table import Pause, WorksheetChoice
from services.ingest.imports.adapters.table_file import open_file
from services.ingest.imports.handlers.importing import (
    ProgressListener,
    Report,
    Run,
    Source,
    Stopped,
    TableResult,
    import_tables,
)
from services.ingest.removals.handlers.undo import undo_import
from services.ingest.settings import Settings

DONE, FAILED, SOME_REJECTED, STOPPED = 0, 1, 3, 130
MONTHS: Final = "raw_log_"
PLAIN_EVERY: Final = 50_000
"""The rows between two lines of progress where there is no terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """The options of the command line, checked."""

    tenant: str
    files: Sequence[Path]
    spreadsheet: tuple[str, Path] | None
    sheets: Sequence[str]
    prefix: str | None
    zone: ZoneInfo
    dry: bool
    rejects: Path | None


def run_import(service: Service[Settings], settings: Settings, options: ImportOptions) -> int:
    """Import, print the report, and return the exit status."""
    console = Console(stderr=True)

    async def run() -> int:
        with progress_on(console) as progress:
            report = await _import(service, settings, options, progress, console)
        print_report(Console(), report, dry=options.dry)
        if not options.dry and any(result.inserted for result in report.results):
            console.print(
                f"to take it back: import --tenant {options.tenant} --undo {report.run_id}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        return _exit_status(console, report)

    return status_of(run(), {Unavailable: "nothing was imported: "})


async def _import(
    service: Service[Settings],
    settings: Settings,
    options: ImportOptions,
    progress: ProgressListener,
    console: Console,
) -> Report:
    async with _until_signal(console) as pause, open_command_context(service) as context:
        run = Run(
            store=context.store,
            tenant=options.tenant,
            run_id=str(new_event_id()),
            zone=options.zone,
            not_before=settings.plausible_from,
            clock=utc_now,
            pause=pause,
            progress=progress,
            dry=options.dry,
        )
        sources = [_file(options, path) for path in options.files]
        if options.spreadsheet:
            sources.append(_spreadsheet(options, *options.spreadsheet, settings, pause))
        return await import_tables(run, sources)


def undo_run(service: Service[Settings], tenant: str, run: UUID) -> int:
    """Undo a run in the log, and return the exit status; the read models need a rebuild then."""
    console = Console(stderr=True)

    async def undo() -> int:
        async with open_command_context(service) as context:
            new = await undo_import(context.store, tenant, str(run), now=utc_now())
        console.print(
            "the import is undone" if new else "the import was undone before", markup=False
        )
        console.print(
            "the read models are built anew; if that fails, run the same again", markup=False
        )
        return DONE

    return status_of(undo(), {Unavailable: "nothing was undone: "})


def rejects_of(table: Path, folder: Path | None) -> Path:
    """The file for the rejected rows of a table: in `folder`, or beside the table."""
    beside = folder / table.name if folder else table
    return beside.with_name(f"{beside.name}.rejected.csv")


def _file(options: ImportOptions, path: Path) -> Source:
    opener = partial(
        open_file, path, WorksheetChoice(names=options.sheets, prefix=options.prefix or "")
    )
    return Source(name=str(path), open=opener, rejects=rejects_of(path, options.rejects))


def _spreadsheet(
    options: ImportOptions, name: str, credentials: Path, settings: Settings, pause: Pause
) -> Source:
    prefix = MONTHS if options.prefix is None else options.prefix
    choice = WorksheetChoice(names=options.sheets, prefix=prefix)
    opener = partial(open_spreadsheet, settings, name, credentials, choice, pause)
    return Source(name=name, open=opener, rejects=rejects_of(Path(name), options.rejects))


@asynccontextmanager
async def _until_signal(console: Console) -> AsyncIterator[Pause]:
    """A `Pause` that raises Stopped after SIGINT or SIGTERM; a second signal acts as usual."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def restore_signals() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    def on_signal() -> None:
        console.print("stopping when what is under way is stored")
        stop.set()
        restore_signals()

    async def pause(seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
        if stop.is_set():
            raise Stopped

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        yield pause
    finally:
        restore_signals()


def _exit_status(console: Console, report: Report) -> int:
    """Print faults and files of rejected rows; the exit status."""
    for result in report.results:
        if result.fault:
            console.print(f"{result.name}: {result.fault}", markup=False, highlight=False)
        if result.rejected:
            console.print(
                f"{result.name}: rejected rows and why: {result.rejects}",
                markup=False,
                highlight=False,
            )
    if report.stopped:
        console.print("stopped; run the same again to go on: what is stored will be skipped")
        return STOPPED
    if any(result.fault for result in report.results):
        return FAILED
    return SOME_REJECTED if any(result.rejected for result in report.results) else DONE


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s")


@contextmanager
def progress_on(console: Console) -> Iterator[ProgressListener]:
    """Prints progress: on a terminal a bar for each worksheet, elsewhere a line now and then."""
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


def print_report(console: Console, report: Report, *, dry: bool) -> None:
    """Print a table with the numbers of each file and their sums."""
    table = Table(
        Column("file", overflow="fold"),
        *(Column(name, justify="right") for name in ("total", *_counts(dry), "rejected")),
        show_footer=len(report.results) > 1,
    )
    for result in report.results:
        table.add_row(Text(result.name), *map(str, _numbers(result)))
    sums = map(sum, zip(*map(_numbers, report.results), strict=True))
    for column, text in zip(table.columns, ("together", *map(str, sums)), strict=True):
        column.footer = text
    console.print(table)


def _counts(dry: bool) -> tuple[str, str]:
    return ("would be inserted", "would be skipped") if dry else ("inserted", "skipped")


def _numbers(result: TableResult) -> tuple[int, int, int, int]:
    return result.total, result.inserted, result.skipped, result.rejected


def _in_lines(console: Console) -> ProgressListener:
    def report(name: str, done: int, rows: int | None) -> None:
        of_all = f" of {rows}" if rows is not None else ""
        if done == 0 or done == rows or done % PLAIN_EVERY == 0:
            console.print(f"{name}: {done}{of_all} rows", markup=False, highlight=False)

    return report
