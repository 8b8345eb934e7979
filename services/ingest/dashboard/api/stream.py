"""The dashboard as a stream of server-sent events.

The first event is `state`, the following ones are `cells` (see `state_diff`). Another `state` is
sent when cells cannot express the change: after midnight, if the query has no date, and to a
client that reconnects too late or to another process.
"""

from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Header, Response
from msgspec.structs import astuple
from prometheus_client import Gauge

from libs.http.live import STREAM, Event, EventStream, LiveQuery
from libs.postgres.pool import tenant_connection
from services.ingest.context import Deps, Ingest
from services.ingest.dashboard.api.overview import PROJECTIONS, Overview, present, read_overview
from services.ingest.dashboard.api.state_diff import carry_over, difference
from services.ingest.scans.api.query_params import (
    CurrentQuery,
    DashboardQuery,
    Reader,
    build_filter,
)
from services.ingest.scans.api.responses import State
from services.ingest.scans.domain.filter import ScanFilter

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])

STREAMS: Final = Gauge("ingest_streams", "Dashboards that are being watched")


Dated: TypeAlias = tuple[ScanFilter, State]
"""A state, and the filter that the parameters of its query meant then."""


class LiveDashboard(LiveQuery[Dated]):
    """A dashboard; without a date it is always that of today."""

    models = PROJECTIONS
    resumable = True

    def __init__(self, ingest: Deps, query: DashboardQuery) -> None:
        self._ingest = ingest
        self._tenant = query.scan_filter.tenant
        self._filters = query.filters
        self._overview: tuple[ScanFilter, Overview] | None = None
        self.key = self._tenant, astuple(query.filters)

    async def load(self, *, changed: bool) -> Dated:
        """The state as of now; time alone changes who is online, and which day it is."""
        settings, now = self._ingest.settings, self._ingest.clock()
        scan_filter = build_filter(self._tenant, self._filters, settings, now=now)
        if changed or self._overview is None or self._overview[0] != scan_filter:
            async with tenant_connection(self._ingest.reading, self._tenant) as connection:
                overview = await read_overview(
                    connection, scan_filter, feed_length=settings.feed_length
                )
            self._overview = scan_filter, overview
        _, overview = self._overview
        return scan_filter, present(overview, self._filters, settings, now=now, generated_at=now)

    def event(self, old: Dated | None, new: Dated) -> Event | None:
        """`cells`, or `state` if they cannot express the change."""
        cells = difference(old[1], new[1]) if old is not None and old[0] == new[0] else None
        if cells is None:
            return "state", new[1]
        return ("cells", cells) if cells else None

    def compact(self, old: Dated, new: Dated) -> Dated:
        """The new state, sharing equal rows with the old one."""
        return new[0], carry_over(old[1], new[1])


@router.get("/stream", **STREAM)
async def stream(
    ingest: Ingest,
    reader: Reader,
    query: CurrentQuery,
    last_event_id: str | None = None,
    last_seen: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The state and then its changes, as server-sent events; reconnect when the stream ends.

    It ends after a configured time, and with the caller's session. With the id of the last event,
    in `Last-Event-ID` or `last_event_id`, it continues from there.
    """
    return EventStream(LiveDashboard(ingest, query), reader, last_seen or last_event_id)
