"""An import of the old log: its rows become the facts that a batch would have recorded (§6).

Rows that are in the log are skipped, so running the same import again continues an interrupted
one.
"""

from collections.abc import Callable, Sequence
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
from libs.export.cells import escape_formula
from services.ingest.imports.adapters.table import OpenTable, Pause, Row, Unreadable, Worksheet
from services.ingest.imports.domain.log_events import Entry
from services.ingest.imports.domain.sheet import Sheet, WrongSheet, as_texts, sheet_of
from services.ingest.imports.domain.spreadsheet import is_blank
from services.ingest.imports.handlers.import_page import Entries, record, unrecorded
from services.ingest.imports.handlers.log_events import read_row
from services.ingest.imports.stores.rejects import Reject, open_rejects
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import Fault

WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between two attempts to reach the log."""

ProgressListener: TypeAlias = Callable[[str, int, int | None], None]
"""Called with a worksheet's name, the rows done, and their total if it is known."""


class Stopped(Exception):
    """The import shall stop; what was appended stays."""


@dataclass(slots=True)
class TableResult:
    """The result for a table: its rows by outcome, and the fault that ended it, if any.

    `rejects` is the file for rejected rows.
    """

    name: str
    rejects: Path
    inserted: int = 0
    skipped: int = 0
    rejected: int = 0
    fault: str | None = None

    @property
    def total(self) -> int:
        """The rows that were processed."""
        return self.inserted + self.skipped + self.rejected


@dataclass(slots=True)
class Report:
    """The results of an import by table, whether it was stopped, and its run id."""

    results: list[TableResult] = field(default_factory=list)
    stopped: bool = False
    run_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of the importer. `pause` sleeps, and raises Stopped to end the run.

    `run_id` is the correlation id of all its events. A dry run stores nothing; `counted` holds the
    event ids it has counted, about 100 bytes for each row.
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
    counted: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A table to import: its displayed name, how to open it, and the file for its rejected rows."""

    name: str
    open: OpenTable
    rejects: Path


async def import_tables(run: Run, sources: Sequence[Source]) -> Report:
    """Import one table after the other; safe to repeat.

    A table that is unreadable or lacks columns stores nothing; the others are imported. If the log
    stays unavailable, the remaining tables are not attempted.
    """
    report = Report(run_id=run.run_id)
    for number, source in enumerate(sources):
        result = TableResult(name=source.name, rejects=source.rejects)
        report.results.append(result)
        try:
            await _import(run, source, result, f"{run.run_id}/{number}")
        except Unreadable as fault:
            result.fault = str(fault)
        except OSError as error:
            result.fault = f"its rejected rows cannot be written: {error.strerror or error}"
        except LogUnavailable:
            result.fault = "the log cannot be reached; run the same again to go on"
            break
        except Stopped:
            report.stopped = True
            break
    return report


async def _import(run: Run, source: Source, result: TableResult, run_id: str) -> None:
    async with source.open() as worksheets:
        # All headers are checked before the first row is stored.
        sheets = [_sheet(run, worksheet) for worksheet in worksheets]
        with open_rejects(source.rejects) as reject:
            batch = 0
            for sheet, worksheet in zip(sheets, worksheets, strict=True):
                done = 0
                run.progress(sheet.name, done, worksheet.rows)
                async with aclosing(worksheet.pages()) as pages:
                    async for page in pages:
                        await run.pause(0)
                        await _import_page(run, sheet, page, result, reject, f"{run_id}/{batch}")
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
            escaped=worksheet.escaped,
        )
    except WrongSheet as wrong:
        raise Unreadable(f"worksheet {worksheet.name}: {wrong}") from wrong


async def _import_page(
    run: Run,
    sheet: Sheet,
    page: Sequence[Row],
    result: TableResult,
    reject: Reject,
    batch: str,
) -> None:
    namespace = identity.namespace(run.tenant)
    rows = [(n, cells) for n, cells in page if not all(map(is_blank, cells))]
    entries: dict[UUID, Entry] = {}
    name, rejected = escape_formula(sheet.name), []
    for number, cells in rows:
        match read_row(run.store.codec, sheet, cells, now=run.clock()):
            case Fault(code=code, reason=reason):
                rejected.append([name, number, f"{reason} [{code}]", *as_texts(sheet, cells)])
            case Entry() as entry:
                event_id = identity.scan_event(namespace, entry.row.scan_id)
                # The first of two rows with one id counts, with the removal of either.
                if (known := entries.setdefault(event_id, entry)).removed is None:
                    entries[event_id] = replace(known, removed=entry.removed)
    inserted = await (_count(run, entries) if run.dry else _record(run, entries, batch))
    result.inserted += inserted
    result.skipped += len(rows) - len(rejected) - inserted
    reject(rejected)
    result.rejected += len(rejected)


async def _count(run: Run, entries: Entries) -> int:
    """The number of rows that would be new."""
    new = [ids for ids in await unrecorded(run.store, run.tenant, entries) if ids - run.counted]
    run.counted.update(*new)
    return len(new)


async def _record(run: Run, entries: Entries, batch: str) -> int:
    """Store what is new; the number of new rows. Retries while the log is unavailable."""
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
