"""The undoing of an import."""

from datetime import datetime

from contracts.ingest import ImportUndone, IngestEvent
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.scans.domain import identity


async def undo_import(
    store: EventStore[IngestEvent], tenant: str, run_id: str, *, now: datetime
) -> bool:
    """Undo the scans that a run of the importer recorded; False if it was undone before.

    Safe to repeat. The read models need a rebuild afterwards. Removals that the run recorded stay:
    a removed item stays removed. Raises `LogUnavailable`.
    """
    undone = identity.undone_import(identity.namespace(tenant), run_id)
    event = ImportUndone(run_id=run_id, undone_by=identity.IMPORT, undone_at=now)
    fact: Fact[IngestEvent] = Fact(
        event_id=undone,
        stream=identity.undone_stream(undone),
        event=event,
        occurred_at=now,
    )
    metadata = Metadata(tenant=tenant, actor=identity.IMPORT, correlation_id=run_id)
    return bool((await store.record([fact], metadata=metadata)).new)
