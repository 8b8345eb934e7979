"""What could not be understood, for those who mend it."""

from fastapi import APIRouter, Response

from libs.postgres.pool import tenant_transaction
from services.ingest.api import wording
from services.ingest.api.answers import Quarantine, answered
from services.ingest.api.asking import Reader, Token, staleness
from services.ingest.api.dashboard import Limit, Offset
from services.ingest.deps import Ingest
from services.ingest.read_models import quarantine

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])


@router.get("")
async def events(
    ingest: Ingest, reader: Reader, limit: Limit = 100, offset: Offset = 0, token: Token = None
) -> Response:
    """Quarantined events, newest first, and how many there are."""
    headers = await staleness(ingest, token, "quarantine")
    async with tenant_transaction(ingest.reading, reader.tenant) as connection:
        rows = await quarantine.page(connection, reader.tenant, limit=limit, offset=offset)
        total = await quarantine.count(connection, reader.tenant)
    listed = [wording.quarantined(row, ingest.settings.zone) for row in rows]
    return answered(Quarantine(listed, total), headers)
