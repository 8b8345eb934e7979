"""What a dashboard may ask with, and how fresh the answer has to be."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, HTTPException, Query

from libs.http.auth import Principal, require
from libs.messaging.freshness import TokenMalformed
from services.ingest.api.answers import Filters
from services.ingest.deps import Deps, Ingest
from services.ingest.domain.day import BadDate, day_of, days_asked
from services.ingest.domain.question import Question, wanted

CONSISTENCY: Final = "X-Consistency-Token"
STALE: Final = "X-Stale"

Text = Annotated[str | None, Query(max_length=200)]
Reader = Annotated[Principal, Depends(require("scan:read"))]
Token = Annotated[str | None, Header(alias=CONSISTENCY)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and how it was written."""

    question: Question
    filters: Filters


def asked(
    ingest: Ingest,
    reader: Reader,
    date: Text = None,
    date_end: Text = None,
    operator: Text = None,
    client: Text = None,
    city: Text = None,
) -> Asked:
    """Read the query (§2.6, §5.1): 400 with a sentence if it makes no sense."""
    settings = ingest.settings
    today = day_of(ingest.clock(), settings.zone)
    try:
        days = days_asked(date, date_end, today=today, longest=settings.max_range_days)
    except BadDate as error:
        raise HTTPException(400, str(error)) from None
    return Asked(
        Question(
            tenant=reader.tenant,
            days=days,
            operator=wanted(storable(operator)),
            client=wanted(storable(client)),
            city=wanted(storable(city)),
        ),
        Filters(date or None, date_end or None, operator or None, client or None, city or None),
    )


def storable(text: str | None) -> str | None:
    """A filter as it is, if the database can compare with it; 400 if it holds a NUL."""
    if text is not None and "\0" in text:
        raise HTTPException(400, "a filter must not contain a NUL character")
    return text


async def staleness(ingest: Deps, token: str | None, *projections: str) -> dict[str, str]:
    """Wait until the read models have what `token` names; a header that says so if they do not."""
    if not token:
        return {}
    try:
        fresh = await asyncio.gather(*(ingest.freshness.wait(name, token) for name in projections))
    except TokenMalformed as error:
        raise HTTPException(400, str(error)) from None
    return {} if all(fresh) else {STALE: "1"}


AskedFor = Annotated[Asked, Depends(asked)]
