"""What ingest is made of: the only place that constructs."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from starlette.middleware import Middleware

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.ingest import EVENTS, IngestEvent
from libs.process.context import ApiContext, extended
from libs.process.service import Manners, Revocation, Service
from libs.projections.projection import Projection
from services.ingest.context import SHAPE, Deps
from services.ingest.dashboard.api import boxes, dashboard, stream
from services.ingest.dashboard.read_models import activity, box, presence
from services.ingest.dashboard.stores import PastCache
from services.ingest.exports.api import export
from services.ingest.exports.read_models import SORT_SECONDS
from services.ingest.quarantine import read_models as quarantined
from services.ingest.quarantine.api import routes as quarantine
from services.ingest.removals import api as removal
from services.ingest.removals.read_models import removal as removed
from services.ingest.removals.read_models.undone import without_undone
from services.ingest.scans.api import events, system
from services.ingest.scans.api.path_normalizer import normalize_paths
from services.ingest.scans.handlers.body import LARGE_BODY
from services.ingest.scans.read_models import logged_items, scan_log
from services.ingest.settings import Settings


def api_context(frame: ApiContext[Settings, IngestEvent]) -> Deps:
    """What the routes of ingest receive."""
    return extended(
        Deps,
        frame,
        count_quarantine=partial(quarantined.open_by_code, frame.system),
        export_slots=asyncio.Semaphore(frame.settings.export_slots),
        as_of_slots=asyncio.Semaphore(frame.settings.as_of_slots),
        past_cache=PastCache(),
        items_in_box=partial(logged_items.of_box, frame.reading),
    )


def projections(settings: Settings) -> Sequence[Projection[IngestEvent]]:
    """The projections of all read models."""
    scan_projections = (
        activity.projection(settings.zone),
        presence.projection(),
        scan_log.projection(settings.zone),
        box.projection(settings.zone),
        removed.projection(settings.zone),
    )
    return (*map(without_undone, scan_projections), quarantined.projection())


SERVICE: Final = Service(
    name="ingest",
    settings=Settings,
    events=EVENTS,
    projections=projections,
    routers=(
        *(events.router, removal.router, dashboard.router, stream.router, boxes.router),
        *(export.router, quarantine.router, system.router),
    ),
    manners=lambda settings: Manners(
        shape=SHAPE.with_rows(quarantine.REFUSALS),
        max_body_bytes=min(LARGE_BODY, settings.max_body_bytes),
        longer_bodies=dict.fromkeys(events.LONG_BODIES, settings.max_body_bytes),
        outer=[Middleware(normalize_paths)],
    ),
    api_context=api_context,
    streams=stream.STREAMS,
    longest_statement=timedelta(seconds=SORT_SECONDS),
    revocation=Revocation(SESSIONS, SessionRevoked),
)
