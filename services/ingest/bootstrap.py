"""The only place that constructs: dependencies, the app, the worker's tasks and projections."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession
from fastapi import FastAPI
from starlette.middleware import Middleware

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.ingest import EVENTS, IngestEvent
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog, open_log
from libs.eventsourcing.store import EventStore
from libs.http import app as http
from libs.http import revoked_sessions
from libs.http.auth import TokenVerifier
from libs.http.body_timeout import BodyTimeout
from libs.http.client import open_client
from libs.http.health import Check
from libs.http.problems import detail_shape
from libs.http.revocations import Revocations, following
from libs.http.session_check import SessionCheck, at_gateway
from libs.postgres.doorbell import APPENDED, Doorbell, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.process.lifecycle import Task
from libs.projections.consistency import Consistency
from libs.projections.projection import Projection
from libs.security.tokens import MAX_INTERNAL_LIFETIME
from libs.telemetry import traces
from libs.telemetry.traces import Telemetry
from services.ingest.context import Deps
from services.ingest.dashboard.api import boxes, dashboard, stream
from services.ingest.dashboard.api.live import Live
from services.ingest.dashboard.api.overview import PROJECTIONS
from services.ingest.dashboard.read_models import activity, box, presence
from services.ingest.dashboard.stores import PastCache
from services.ingest.exports.api import export
from services.ingest.exports.read_models import SORT_SECONDS
from services.ingest.imports.adapters.table import Unreadable, Worksheet, WorksheetChoice
from services.ingest.imports.handlers.importing import Pause
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

SERVICE: Final = "ingest"
SCAN_READ_MODELS: Final = ("activity", "presence", "scan_log", "box", "removal")
"""The read models that change when an import is undone."""
LOG_CONNECTIONS: Final = 2
"""For reading the log and waiting for projections; appending uses a connection of its own."""
ROUTERS: Final = (
    events.router,
    removal.router,
    dashboard.router,
    stream.router,
    boxes.router,
    export.router,
    quarantine.router,
    system.router,
)


@asynccontextmanager
async def open_deps(settings: Settings, telemetry: Telemetry) -> AsyncIterator[Deps]:
    """What ingest needs to answer requests, closed at the end. Raises Unavailable."""
    dsn = settings.database_url.get_secret_value()
    async with (
        _open_pool(
            settings, size=LOG_CONNECTIONS, application_name="ingest log", tenant_scope=SYSTEM
        ) as log_pool,
        _open_pool(
            settings,
            size=settings.pool_size,
            application_name="ingest reading",
            longest_statement=timedelta(seconds=SORT_SECONDS),
        ) as reading,
        open_doorbell(dsn, SERVICE) as doorbell,
        _open_consistency(settings, log_pool, doorbell) as consistency,
        open_log(log_pool, dsn, SERVICE, on_append=partial(doorbell.ring, APPENDED)) as log,
        open_client() as session,
    ):
        load = partial(revoked_sessions.load, log_pool)
        revocations = Revocations(load, doorbell, longest=MAX_INTERNAL_LIFETIME)
        yield Deps(
            settings=settings,
            store=EventStore[IngestEvent](log, Codec(EVENTS)),
            reading=reading,
            clock=utc_now,
            verifier=_verifier(settings, session, revocations),
            revocations=revocations,
            consistency=consistency,
            telemetry=telemetry,
            count_quarantine=partial(quarantined.open_by_code, log_pool),
            export_slots=asyncio.Semaphore(settings.export_slots),
            as_of_slots=asyncio.Semaphore(settings.as_of_slots),
            past_cache=PastCache(),
            positions=partial(_positions, consistency),
            doorbell=doorbell,
            items_in_box=partial(logged_items.of_box, reading),
        )


@asynccontextmanager
async def open_command_deps(settings: Settings) -> AsyncIterator[Deps]:
    """As `open_deps`, for a command at the terminal: with its own telemetry."""
    telemetry = traces.set_up(SERVICE, settings.otlp_endpoint)
    try:
        async with open_deps(settings, telemetry) as deps:
            yield deps
    finally:
        await telemetry.stop()


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[EventStore[IngestEvent]]:
    """The event log alone, for the importer. Raises Unavailable."""
    dsn = settings.database_url.get_secret_value()
    async with (
        open_doorbell(dsn, SERVICE) as doorbell,
        _open_pool(settings, size=2, application_name="ingest import", tenant_scope=SYSTEM) as pool,
    ):
        log = PostgresLog(pool, on_append=partial(doorbell.ring, APPENDED))
        try:
            yield EventStore[IngestEvent](log, Codec(EVENTS))
        finally:
            await log.close()


@asynccontextmanager
async def open_spreadsheet(
    settings: Settings,
    spreadsheet_id: str,
    credentials: Path,
    choice: WorksheetChoice,
    pause: Pause,
) -> AsyncIterator[Sequence[Worksheet]]:
    """The worksheets of a Google spreadsheet. Raises Unreadable, also if gspread is missing."""
    try:
        from services.ingest.imports.adapters import google_sheets
    except ImportError as error:
        raise Unreadable("spreadsheets need gspread: pip install 'tillstream[sheets]'") from error
    spreadsheet = google_sheets.open_spreadsheet(
        spreadsheet_id, credentials, choice, api=settings.sheets_api_url, pause=pause
    )
    async with spreadsheet as worksheets:
        yield worksheets


@asynccontextmanager
async def open_app(
    settings: Settings, telemetry: Telemetry, checks: Mapping[str, Check]
) -> AsyncIterator[FastAPI]:
    """The API with its dependencies, which stay open meanwhile."""
    async with open_deps(settings, telemetry) as deps, following(deps.revocations):
        yield create_app(deps, checks=checks)


def create_app(deps: Deps, *, checks: Mapping[str, Check] | None = None) -> FastAPI:
    """The API; `checks` are added to the readiness checks of database and revocations."""
    app = http.create_app(
        title=SERVICE,
        routers=ROUTERS,
        deps=deps,
        checks={
            "database": partial(system.check_database, deps.reading),
            "revocations": deps.revocations.check,
            **(checks or {}),
        },
        telemetry=deps.telemetry,
        problem_shape=detail_shape,
        max_body_bytes=min(LARGE_BODY, deps.settings.max_body_bytes),
        longer_bodies=dict.fromkeys(events.LONG_BODIES, deps.settings.max_body_bytes),
        body_timeout=BodyTimeout.from_settings(deps.settings),
        outer=[Middleware(normalize_paths)],
    )
    app.state.live = Live(deps)
    return app


@asynccontextmanager
async def open_tasks(settings: Settings, _: Telemetry) -> AsyncIterator[Sequence[Task]]:
    """The feed of revoked sessions, which runs beside relay and projections."""
    from libs.messaging.revocation_feed import open_revocation_feed

    async with open_revocation_feed(
        settings, SERVICE, category=SESSIONS, event=SessionRevoked, longest=MAX_INTERNAL_LIFETIME
    ):
        yield ()


@asynccontextmanager
async def _open_pool(settings: Settings, **options: Any) -> AsyncIterator[Pool]:
    """A pool for the service's role and schema; `options` are those of `open_pool`."""
    pool = await open_pool(
        settings.database_url.get_secret_value(),
        role=application_role(SERVICE),
        schema=SERVICE,
        **options,
    )
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def _open_consistency(
    settings: Settings, pool: Pool, doorbell: Doorbell
) -> AsyncIterator[Consistency]:
    consistency = Consistency(
        pool,
        [model.name for model in projections(settings)],
        deadline=settings.stale_wait_seconds,
        doorbell=doorbell,
    )
    try:
        yield consistency
    finally:
        await consistency.close()


def _verifier(
    settings: Settings, session: ClientSession, revocations: Revocations
) -> TokenVerifier:
    live = SessionCheck(revocations, at_gateway(session, settings.jwks_url)).is_live
    return TokenVerifier(
        audience=SERVICE,
        issuer=settings.issuer,
        jwks_url=settings.jwks_url,
        session=session,
        revoked=revocations.is_revoked,
        live=live,
    )


async def _positions(consistency: Consistency) -> object:
    positions = await consistency.positions()
    return [positions.get(name) for name in PROJECTIONS]


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
