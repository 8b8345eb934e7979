"""The events of exported rows, and of an imported row (`domain.log_events`)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts.ingest import IngestEvent, ScanId
from libs.eventsourcing.codec import Codec, UndecodableEvent, UnknownEvent
from libs.eventsourcing.store import EventStore
from libs.postgres.query import Row
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.log_events import Entry
from services.ingest.imports.domain.sheet import Sheet, contradicting_column, events_cell, scan_of
from services.ingest.imports.domain.spreadsheet import Cell, Unfit
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.box import AUDIT
from services.ingest.scans.domain.scan import ITEM, Fault
from services.ingest.scans.handlers.recordings import current_recordings


async def cells_of(store: EventStore[IngestEvent], tenant: str, rows: Sequence[Row]) -> list[str]:
    """The cells with the events of rows of `scan_log`. Raises `LogUnavailable`."""
    namespace = identity.namespace(tenant)
    firsts = [identity.scan_event(namespace, ScanId(row["scan_id"])) for row in rows]
    scans = await current_recordings(store, tenant, firsts)
    ids = [
        _ids(namespace, row, scans[first].event_id) for row, first in zip(rows, firsts, strict=True)
    ]
    found = await store.log.find([event_id for row_ids in ids for event_id in row_ids])
    return [
        log_events.serialize(
            store.codec.encode(store.decode(recorded))
            for event_id in row_ids
            # The id of an audit does not depend on the tenant.
            if (recorded := found.get(event_id)) and recorded.metadata.tenant == tenant
        )
        for row_ids in ids
    ]


def read_row(
    codec: Codec[IngestEvent], sheet: Sheet, cells: Sequence[Cell], *, now: datetime
) -> Entry | Fault:
    """The events of a row: those in its cell `log_events`, or else the scan of its other cells."""
    exported = ""
    if log_events.COLUMN in sheet.positions:
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
    entry = log_events.entry(events, now=now, not_before=sheet.not_before)
    if isinstance(entry, Entry) and (column := contradicting_column(sheet, cells, entry.row)):
        reason = (
            f"{column} says something else than {log_events.COLUMN}: correct the cell, or empty"
            f" {log_events.COLUMN} to import what the cells say"
        )
        return Fault(code="contradiction", reason=reason)
    return entry


def _ids(namespace: UUID, row: Row, recording: UUID) -> list[UUID]:
    """The possible event ids of a row; not all of them need to be in the log."""
    if row["kind"] == ITEM:
        return [recording, identity.removal_of(recording)]
    if row["kind"] in AUDIT:
        removal_id = row["scan_id"]
        imported = identity.imported_removal_event(namespace, removal_id)
        return [recording, identity.removal_event(removal_id), imported]
    return [recording]
