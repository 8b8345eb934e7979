"""An import of the old log: rows become the facts a batch would have recorded (§6).

The log is the memory of an import: what it holds is skipped, so a run that was broken off is
continued by the same run again.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.ingest import IngestEvent
from libs.clock import Clock
from libs.eventsourcing.log import LogUnavailable, Metadata
from libs.eventsourcing.store import EventStore
from services.ingest.imports.adapters.table import Open, Row, Unreadable, Worksheet
from services.ingest.imports.domain.cell import escape_formula
from services.ingest.imports.domain.log_events import Entry
from services.ingest.imports.domain.sheet import Sheet, WrongSheet, as_texts, sheet_of
from services.ingest.imports.domain.spreadsheet import is_blank
from services.ingest.imports.handlers.import_page import Entries, record, unknown
from services.ingest.imports.handlers.log_events import read
from services.ingest.imports.stores.rejects import Reject, open_rejects
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import Fault

WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between two attempts to reach the log."""

Pause: TypeAlias = Callable[[float], Awaitable[None]]
ProgressListener: TypeAlias = Callable[[str, int, int | None], None]
"""Called with a worksheet's name, the rows done, and how many there are if that is known."""


class Stopped(Exception):
    """The import is to stop. What was appended stays."""


@dataclass(slots=True)
class Account:
    """What became of a table's rows. `fault` says why it was given up, if it was.

    `rejects` is the file the rejected rows are in, if there are any.
    """

    name: str
    rejects: Path
    inserted: int = 0
    skipped: int = 0
    rejected: int = 0
    fault: str | None = None

    @property
    def total(self) -> int:
        """All rows that were gone through."""
        return self.inserted + self.skipped + self.rejected


@dataclass(slots=True)
class Report:
    """The accounts of an import, whether it was stopped before its end, and which run it was."""

    accounts: list[Account] = field(default_factory=list)
    stopped: bool = False
    run_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of the importer. `pause` sleeps, and raises Stopped when the run is to end.

    `run_id` is the correlation id of everything it stores. A dry run stores nothing, and keeps
    the ids it met in mind, some 100 bytes for each row.
    """

    store: EventStore[IngestEvent]
    tenant: str
    run_id: str
    zone: ZoneInfo
    not_before: datetime
    clock: Clock
    pause: Pause
    progress: ProgressListener
    dry: bool = False
    met: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A table to import: what people call it, how it is opened, where its rejects go."""

    name: str
    open: Open
    rejects: Path


async def import_tables(run: Run, sources: Sequence[Source]) -> Report:
    """Import one table after the other, safe to repeat; the account of each is exact.

    A table that cannot be read, or has not the columns it must have, stores nothing and does not
    keep the others from being imported. If the log stays away the rest is not attempted.
    """
    report = Report(run_id=run.run_id)
    for number, source in enumerate(sources):
        account = Account(name=source.name, rejects=source.rejects)
        report.accounts.append(account)
        try:
            await _import(run, source, account, f"{run.run_id}/{number}")
        except Unreadable as fault:
            account.fault = str(fault)
        except OSError as error:
            account.fault = f"its rejected rows cannot be written: {error.strerror or error}"
        except LogUnavailable:
            account.fault = "the log cannot be reached; run the same again to go on"
            break
        except Stopped:
            report.stopped = True
            break
    return report


async def _import(run: Run, source: Source, account: Account, run_id: str) -> None:
    async with source.open() as worksheets:
        # All of them before the first row: a table is imported whole or not at all.
        sheets = [_sheet(run, worksheet) for worksheet in worksheets]
        with open_rejects(source.rejects) as reject:
            batch = 0
            for sheet, worksheet in zip(sheets, worksheets, strict=True):
                done = 0
                run.progress(sheet.name, done, worksheet.rows)
                async with aclosing(worksheet.pages()) as pages:
                    async for page in pages:
                        await run.pause(0)
                        await _import_page(run, sheet, page, account, reject, f"{run_id}/{batch}")
                        batch, done = batch + 1, done + len(page)
                        run.progress(sheet.name, done, worksheet.rows)


def _sheet(run: Run, worksheet: Worksheet) -> Sheet:
    try:
        return sheet_of(
            worksheet.name,
            worksheet.header,
            zone=run.zone,
            not_before=run.not_before,
            day_zero=worksheet.day_zero,
            dressed=worksheet.dressed,
        )
    except WrongSheet as wrong:
        raise Unreadable(f"worksheet {worksheet.name}: {wrong}") from wrong


async def _import_page(
    run: Run,
    sheet: Sheet,
    page: Sequence[Row],
    account: Account,
    reject: Reject,
    batch: str,
) -> None:
    namespace = identity.namespace(run.tenant)
    rows = [(n, cells) for n, cells in page if not all(map(is_blank, cells))]
    entries: dict[UUID, Entry] = {}
    name, rejected = escape_formula(sheet.name), []
    for number, cells in rows:
        match read(run.store.codec, sheet, cells, now=run.clock()):
            case Fault(code=code, reason=reason):
                rejected.append([name, number, f"{reason} [{code}]", *as_texts(sheet, cells)])
            case Entry() as entry:
                event_id = identity.scan_event(namespace, entry.row.scan_id)
                # Of two rows with one id the first counts, but a removal is not lost.
                if (known := entries.setdefault(event_id, entry)).removed is None:
                    entries[event_id] = replace(known, removed=entry.removed)
    inserted = await (_count(run, entries) if run.dry else _record(run, entries, batch))
    account.inserted += inserted
    account.skipped += len(rows) - len(rejected) - inserted
    reject(rejected)
    account.rejected += len(rejected)


async def _count(run: Run, entries: Entries) -> int:
    """How many would be new."""
    new = [ids for ids in await unknown(run.store, run.tenant, entries) if ids - run.met]
    run.met.update(*new)
    return len(new)


async def _record(run: Run, entries: Entries, batch: str) -> int:
    """Store what is new, and how many that were; attempted again while the log is away."""
    if not entries:
        return 0
    metadata = Metadata(
        tenant=run.tenant,
        actor=identity.IMPORT,
        correlation_id=run.run_id,
        causation_id=batch,
    )
    for attempt, wait in enumerate((*WAITS, None)):
        try:
            return await record(run.store, entries, metadata, repeated=attempt > 0)
        except LogUnavailable:
            if wait is None:
                raise
            await run.pause(wait)
    raise AssertionError("the last attempt returns or raises")
