"""One run of the import command: its signals, its tables, its report, its exit status."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from rich.console import Console

from contracts.ingest import IngestEvent
from libs.clock import utc_now
from libs.errors import Unavailable
from libs.eventsourcing.store import EventStore, new_event_id
from services.ingest.imports.adapters.table import Choice, Worksheet
from services.ingest.imports.adapters.table_file import open_file
from services.ingest.imports.cli import screen
from services.ingest.imports.handlers.importing import (
    Pause,
    ProgressListener,
    Report,
    Run,
    Source,
    Stopped,
    import_tables,
)
from services.ingest.removals.handlers.undo import undo_import
from services.ingest.settings import Settings

DONE, FAILED, SOME_REJECTED, STOPPED = 0, 1, 3, 130
MONTHS: Final = "raw_log_"

OpenStore: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[EventStore[IngestEvent]]]
OpenSpreadsheet: TypeAlias = Callable[
    [Settings, str, Path, Choice, Pause], AbstractAsyncContextManager[Sequence[Worksheet]]
]
"""Opens a spreadsheet by its id and a key file. Raises Unreadable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What was typed."""

    tenant: str
    files: Sequence[Path]
    spreadsheet: tuple[str, Path] | None
    sheets: Sequence[str]
    prefix: str | None
    zone: ZoneInfo
    dry: bool
    rejects: Path | None


def carry_out(
    settings: Settings, order: Order, open_store: OpenStore, open_spreadsheet: OpenSpreadsheet
) -> int:
    """Import, show how it went, and answer the status to exit with."""
    said = Console(stderr=True)
    try:
        with screen.progress(said) as tell:
            report = asyncio.run(
                _imported(settings, order, open_store, open_spreadsheet, tell, said)
            )
    except Unavailable as error:
        said.print(f"nothing was imported: {error}", markup=False)
        return FAILED
    screen.show(Console(), report, dry=order.dry)
    if not order.dry and any(account.inserted for account in report.accounts):
        said.print(
            f"to take it back: import --tenant {order.tenant} --undo {report.run_id}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return _conclude(said, report)


async def _imported(
    settings: Settings,
    order: Order,
    open_store: OpenStore,
    open_spreadsheet: OpenSpreadsheet,
    tell: ProgressListener,
    said: Console,
) -> Report:
    async with _until_signal(said) as pause, open_store(settings) as store:
        run = Run(
            store=store,
            tenant=order.tenant,
            run_id=str(new_event_id()),
            zone=order.zone,
            not_before=settings.plausible_from,
            clock=utc_now,
            pause=pause,
            progress=tell,
            dry=order.dry,
        )
        sources = [_file(order, path) for path in order.files]
        if order.spreadsheet:
            sources.append(_spreadsheet(order, open_spreadsheet, settings, pause))
        return await import_tables(run, sources)


def take_back(settings: Settings, tenant: str, run: UUID, open_store: OpenStore) -> int:
    """Undo a run in the log, and answer the status to exit with if that fails."""
    said = Console(stderr=True)

    async def undone() -> bool:
        async with open_store(settings) as store:
            return await undo_import(store, tenant, str(run), now=utc_now())

    try:
        new = asyncio.run(undone())
    except Unavailable as error:
        said.print(f"nothing was undone: {error}", markup=False)
        return FAILED
    said.print("the import is undone" if new else "the import was undone before", markup=False)
    said.print("the read models are built anew; if that fails, run the same again", markup=False)
    return DONE


def rejects_of(table: Path, folder: Path | None) -> Path:
    """The file for the rejected rows of a table: beside it, or in the folder."""
    beside = folder / table.name if folder else table
    return beside.with_name(f"{beside.name}.rejected.csv")


def _file(order: Order, path: Path) -> Source:
    opener = partial(open_file, path, Choice(names=order.sheets, prefix=order.prefix or ""))
    return Source(name=str(path), open=opener, rejects=rejects_of(path, order.rejects))


def _spreadsheet(
    order: Order, open_spreadsheet: OpenSpreadsheet, settings: Settings, pause: Pause
) -> Source:
    assert order.spreadsheet is not None  # noqa: S101 -- narrows for the type checker
    name, credentials = order.spreadsheet
    prefix = MONTHS if order.prefix is None else order.prefix
    choice = Choice(names=order.sheets, prefix=prefix)
    opener = partial(open_spreadsheet, settings, name, credentials, choice, pause)
    return Source(name=name, open=opener, rejects=rejects_of(Path(name), order.rejects))


@asynccontextmanager
async def _until_signal(said: Console) -> AsyncIterator[Pause]:
    """Sleep that ends with Stopped at SIGINT or SIGTERM; a second one does what it always does."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def let_go() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    def on_signal() -> None:
        said.print("stopping when what is under way is stored")
        stop.set()
        let_go()

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
        let_go()


def _conclude(said: Console, report: Report) -> int:
    """The status to exit with; prints the summary."""
    for account in report.accounts:
        if account.fault:
            said.print(f"{account.name}: {account.fault}", markup=False, highlight=False)
        if account.rejected:
            said.print(
                f"{account.name}: rejected rows and why: {account.rejects}",
                markup=False,
                highlight=False,
            )
    if report.stopped:
        said.print("stopped; run the same again to go on: what is stored will be skipped")
        return STOPPED
    if any(account.fault for account in report.accounts):
        return FAILED
    return SOME_REJECTED if any(account.rejected for account in report.accounts) else DONE
