"""What the log holds of exported rows, and of a row that is imported (`domain.log_events`)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts.ingest import IngestEvent, ScanId
from libs.eventsourcing.codec import Codec, UndecodableEvent, UnknownEvent
from libs.eventsourcing.store import EventStore
from libs.postgres.query import Row
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.log_events import Entry
from services.ingest.imports.domain.sheet import Sheet, contradicted, events_cell, scan_of
from services.ingest.imports.domain.spreadsheet import Cell, Unfit
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.box import AUDIT
from services.ingest.scans.domain.scan import ITEM, Fault
from services.ingest.scans.handlers.recordings import current


async def cells_of(store: EventStore[IngestEvent], tenant: str, rows: Sequence[Row]) -> list[str]:
    """For each row of `scan_log` the cell with its events. Raises `LogUnavailable`."""
    namespace = identity.namespace(tenant)
    firsts = [identity.scan_event(namespace, ScanId(row["scan_id"])) for row in rows]
    scans = await current(store, tenant, firsts)
    ids = [
        _ids(namespace, row, scans[first].event_id) for row, first in zip(rows, firsts, strict=True)
    ]
    found = await store.log.find([event_id for each in ids for event_id in each])
    return [
        log_events.written(
            store.codec.encode(store.decode(recorded))
            for event_id in each
            # An audit's id is known without its tenant.
            if (recorded := found.get(event_id)) and recorded.metadata.tenant == tenant
        )
        for each in ids
    ]


def read(
    codec: Codec[IngestEvent], sheet: Sheet, cells: Sequence[Cell], *, now: datetime
) -> Entry | Fault:
    """What a row of a table makes the log hold: the events that it was exported with, or else the
    scan that its cells tell of.
    """
    exported = ""
    if log_events.COLUMN in sheet.places:
        try:
            exported = events_cell(sheet, cells)
        except Unfit as unfit:
            return Fault(code=unfit.code, reason=str(unfit))
    if not exported:
        scan = scan_of(sheet, cells, now=now)
        return scan if isinstance(scan, Fault) else Entry(scan=scan)
    try:
        events = [codec.decode(*event) for event in log_events.parse(exported)]
    except (ValueError, UnknownEvent, UndecodableEvent):
        return log_events.BAD
    found = log_events.entry(events, now=now, not_before=sheet.not_before)
    if isinstance(found, Entry) and (column := contradicted(sheet, cells, found.row)):
        reason = (
            f"{column} says something else than {log_events.COLUMN}: correct the cell, or empty"
            f" {log_events.COLUMN} to import what the cells say"
        )
        return Fault(code="contradiction", reason=reason)
    return found


def _ids(namespace: UUID, row: Row, recording: UUID) -> list[UUID]:
    """The ids that the events of a row may have, whether they are there or not."""
    if row["kind"] == ITEM:
        return [recording, identity.removal_of(recording)]
    if row["kind"] in AUDIT:
        removal_id = row["scan_id"]
        imported = identity.imported_removal_event(namespace, removal_id)
        return [recording, identity.removal_event(removal_id), imported]
    return [recording]
