"""What supervisors look at."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from libs.postgres.pool import tenant_transaction
from services.ingest.api import wording
from services.ingest.api.answers import Raw, State, answered
from services.ingest.api.asking import AskedFor, Text, Token, staleness, storable
from services.ingest.deps import Ingest
from services.ingest.read_models import activity, presence, scan_log

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])

Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/state")
async def state(ingest: Ingest, asked: AskedFor, token: Token = None) -> Response:
    """Operators, clients, feed and sums of the days and filters asked for (§2.6, §5)."""
    headers = await staleness(ingest, token, "activity", "presence", "scan_log")
    settings, question, now = ingest.settings, asked.question, ingest.clock()
    async with tenant_transaction(ingest.reading, question.tenant) as connection:
        found = await activity.answer(connection, question)
        seen = await presence.last_seen(connection, question.tenant, list(found.operators))
        # Looking for what is not there would read the whole day.
        feed = (
            await scan_log.page(connection, question, limit=settings.feed_length)
            if found.operators
            else []
        )
    zone = settings.zone
    body = State(
        generated_at=now.isoformat(),
        operators=wording.operators(
            found,
            seen,
            now=now,
            online_within=timedelta(seconds=settings.online_threshold_seconds),
            zone=zone,
        ),
        clients=wording.clients(found),
        feed=[wording.feed_row(row, zone) for row in feed],
        summary=wording.summary(found),
        filters=asked.filters,
        operators_list=wording.names(found.operators),
        clients_list=wording.names(found.clients),
        cities_list=wording.names(found.cities),
    )
    return answered(body, headers)


@router.get("/raw")
async def raw(
    ingest: Ingest,
    asked: AskedFor,
    type: Text = None,
    limit: Limit = 1000,
    offset: Offset = 0,
    token: Token = None,
) -> Response:
    """Scans row by row, newest received first, and how many match (§2.8)."""
    kind, question = storable(type) or None, asked.question
    headers = await staleness(ingest, token, "activity", "scan_log")
    async with tenant_transaction(ingest.reading, question.tenant) as connection:
        counted = await activity.total(connection, question, kind)
        rows = (
            await scan_log.page(connection, question, kind=kind, limit=limit, offset=offset)
            if counted
            else []
        )
    # The two read models may be a moment apart; a page never shows more than the total says.
    total = max(counted, offset + len(rows)) if rows else counted
    zone = ingest.settings.zone
    return answered(Raw([wording.log_row(row, zone) for row in rows], total), headers)
