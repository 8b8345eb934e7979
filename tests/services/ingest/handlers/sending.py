"""Batches as a device sends them, past the API."""

from datetime import datetime

from libs.eventsourcing.log import Cause
from services.ingest.handlers.scan import Recorded, record_batch
from tests.services.ingest.history import FLOOR, NOON, Store, batch


async def send(
    store: Store, *events: object, tenant: str = "demo", at: datetime = NOON, body: bytes = b""
) -> Recorded:
    """Record a batch of these events, or of this `body`."""
    return await record_batch(
        store,
        body or batch(*events),
        cause=Cause(tenant=tenant),
        received_at=at,
        not_before=FLOOR,
    )
