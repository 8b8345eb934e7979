"""An ingest to try: scans to tell of, a log in memory, read models in Postgres."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from contracts.envelope import Envelope
from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.store import EventStore, envelope
from libs.http.auth import TokenVerifier
from libs.messaging.projection import Projection
from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.security.tokens import SigningKey, issue
from libs.telemetry.traces import set_up
from services.ingest.bootstrap import create_app
from services.ingest.deps import Deps
from services.ingest.domain import identity
from services.ingest.read_models import activity, presence, quarantine, scan_log
from services.ingest.settings import Settings

ZONE = ZoneInfo("Europe/Moscow")
NOON = datetime(2025, 10, 31, 9, tzinfo=UTC)
"""12:00 in Moscow."""
NOON_MS = 1_761_901_200_000


@dataclass
class Clock:
    """Time stands still until it is moved."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        """Let a `timedelta` go by."""
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    """A clock at noon."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> EventStore[IngestEvent]:
    """An empty log in memory."""
    return EventStore(MemoryLog(clock=clock), Codec[IngestEvent](EVENTS), clock=clock)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A migrated database as projectors see it: with the service's rights, and all tenants."""
    migrate("ingest", database)
    made = await open_pool(
        database,
        role=application_role("ingest"),
        schema="ingest",
        size=4,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    yield made
    await made.close()


@pytest.fixture
async def reading_pool(database: str, pool: Pool) -> AsyncIterator[Pool]:
    """The same database as questions see it: one tenant at a time."""
    made = await open_pool(
        database,
        role=application_role("ingest"),
        schema="ingest",
        size=2,
        application_name="test-reading",
    )
    yield made
    await made.close()


def every_projection() -> list[Projection[IngestEvent]]:
    """All read models, in Moscow days."""
    return [
        activity.projection(ZONE),
        presence.projection(),
        scan_log.projection(ZONE),
        quarantine.projection(),
    ]


async def project(pool: Pool, events: Sequence[Envelope[IngestEvent]]) -> None:
    """Apply one batch of events to every read model."""
    for projection in every_projection():
        async with pool.acquire() as connection, connection.transaction():
            await projection.project(connection, events)


@dataclass
class Projector:
    """Carries a log over into the read models, as relay and projectors would."""

    store: EventStore[IngestEvent]
    pool: Pool
    position: int = field(default=0)

    async def catch_up(self) -> None:
        """Project what came since the last time."""
        async for page in self.store.log.read_all(after=self.position):
            await project(
                self.pool, [envelope(recorded, self.store.decode(recorded)) for recorded in page]
            )
            self.position = page[-1].position


@pytest.fixture
def projector(store: EventStore[IngestEvent], pool: Pool) -> Projector:
    """From the log in memory to the read models in Postgres."""
    return Projector(store, pool)


def a_scan(number: int = 1, **changes: Any) -> ScanRecorded:
    """A scan of an item at noon; `changes` name what is different."""
    told = {
        "scan_id": ScanId(UUID(int=number)),
        "kind": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "2042469234860",
        "details": "",
        "source": "pwa",
        "scanned_at": NOON,
        "received_at": NOON,
        "effective_at": changes.get("scanned_at", NOON),
        "skewed": False,
    }
    return ScanRecorded(**told | changes)


def in_envelope(event: IngestEvent, *, tenant: str = "demo") -> Envelope[IngestEvent]:
    """An event as a projection meets it."""
    assert event.scan_id is not None
    namespace = identity.namespace(tenant)
    if isinstance(event, ScanRecorded):
        event_id = identity.scan_event(namespace, event.scan_id)
        stream = identity.scan_stream(namespace, event.operator)
    else:
        event_id = identity.quarantine_event(namespace, event.scan_id)
        stream = identity.quarantine_stream(event_id)
    return Envelope(
        event_id=event_id,
        tenant=tenant,
        stream=stream,
        version=None,
        occurred_at=event.received_at,
        recorded_at=event.received_at,
        correlation_id=None,
        causation_id=None,
        actor=None,
        traceparent=None,
        event=event,
    )


@dataclass
class Fresh:
    """Says whether read models are up to date, and remembers who asked."""

    answer: bool = True
    asked: set[tuple[str, str]] = field(default_factory=set)

    async def wait(self, projection: str, token: str) -> bool:
        """As it was told."""
        self.asked.add((projection, token))
        return self.answer


@pytest.fixture
def fresh() -> Fresh:
    """Read models that are always up to date, until told otherwise."""
    return Fresh()


KEY = SigningKey.generate()
SETTINGS = Settings.from_env(
    "INGEST",
    {
        "DATABASE_URL": "postgresql://unused",
        "KAFKA_BOOTSTRAP_SERVERS": "unused",
        "INGEST_JWKS_URL": "http://unused",
    },
)


@pytest.fixture
def app(store: EventStore[IngestEvent], reading_pool: Pool, clock: Clock, fresh: Fresh) -> FastAPI:
    """The whole API, on a log in memory and read models in Postgres."""
    verifier = TokenVerifier(
        audience="ingest",
        issuer=SETTINGS.issuer,
        keys={KEY.kid: KEY.public},
        clock=clock,
    )
    return create_app(
        Deps(
            settings=SETTINGS,
            store=store,
            reading=reading_pool,
            clock=clock,
            verifier=verifier,
            freshness=fresh,
            telemetry=set_up("ingest"),
        )
    )


@asynccontextmanager
async def client(
    app: FastAPI, clock: Clock, subject: str | None, tenant: str, *scopes: str
) -> AsyncIterator[AsyncClient]:
    """Somebody with a token for these scopes, or without a token."""
    token = issue(
        KEY,
        subject=subject or "nobody",
        tenant=tenant,
        scopes=scopes,
        kind="api-key",
        audience="ingest",
        issuer=SETTINGS.issuer,
        now=clock() - timedelta(days=1000),
        lifetime=timedelta(days=10_000),
    )
    headers = {"Authorization": f"Bearer {token}"} if subject else {}
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://ingest", headers=headers) as made:
        yield made


@pytest.fixture
async def device(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody who may send scans."""
    async with client(app, clock, "device-1", "demo", "scan:write") as made:
        yield made


@pytest.fixture
async def viewer(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody who may look at the dashboard."""
    async with client(app, clock, "viewer", "demo", "scan:read") as made:
        yield made


@pytest.fixture
async def stranger(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody who may do anything, but for another tenant."""
    async with client(app, clock, "stranger", "other", "scan:read", "scan:write") as made:
        yield made


@pytest.fixture
async def nobody(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody without a token."""
    async with client(app, clock, None, "demo") as made:
        yield made
