"""An ingest to try: a log in memory, read models in Postgres, and people with tokens."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.store import EventStore
from libs.http.auth import TokenVerifier
from libs.http.revocations import Heard, Revocations
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.security.tokens import SigningKey, issue
from libs.telemetry.traces import set_up
from services.ingest.bootstrap import create_app
from services.ingest.deps import Deps
from services.ingest.read_models import quarantine
from services.ingest.settings import Settings
from tests.databases import migrated
from tests.services.ingest.told import Clock, Fresh, Projector


@pytest.fixture
def clock() -> Clock:
    """A clock at noon."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> EventStore[IngestEvent]:
    """An empty log in memory."""
    return EventStore(MemoryLog(clock=clock), Codec[IngestEvent](EVENTS), clock=clock)


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The address of a database of one's own with the service's tables."""
    with migrated(postgres_url, "ingest") as address:
        yield address


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A migrated database as projectors see it: with the service's rights, and all tenants."""
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


@pytest.fixture
def projector(store: EventStore[IngestEvent], pool: Pool) -> Projector:
    """From the log in memory to the read models in Postgres."""
    return Projector(store, pool)


@pytest.fixture
def fresh() -> Fresh:
    """Read models that are always up to date, until told otherwise."""
    return Fresh()


async def whole(pool: Pool) -> object:
    """Something that differs whenever the read models of the dashboard do: all of them."""
    return [
        await pool.fetchval(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")
        for table in ("activity", "presence", "scan_log")
    ]


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
def app(
    store: EventStore[IngestEvent], pool: Pool, reading_pool: Pool, clock: Clock, fresh: Fresh
) -> FastAPI:
    """The whole API, on a log in memory and read models in Postgres."""
    nobody = Heard(bootstrap="unused", topic="unused", event="unused", field="unused")
    revocations = Revocations(nobody, longest=timedelta(minutes=15), clock=clock)
    verifier = TokenVerifier(
        audience="ingest",
        issuer=SETTINGS.issuer,
        keys={KEY.kid: KEY.public},
        clock=clock,
        revoked=revocations.is_revoked,
    )
    return create_app(
        Deps(
            settings=SETTINGS,
            store=store,
            reading=reading_pool,
            clock=clock,
            verifier=verifier,
            revocations=revocations,
            freshness=fresh,
            telemetry=set_up("ingest"),
            open_quarantine=partial(quarantine.open_by_code, pool),
            exports=asyncio.Semaphore(1),
            looking_back=asyncio.Semaphore(1),
            standing=partial(whole, pool),
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
async def remover(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody who may take items back."""
    async with client(app, clock, "remover", "demo", "scan:remove") as made:
        yield made


@pytest.fixture
async def mender(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody who looks after what went wrong."""
    async with client(app, clock, "mender", "demo", "scan:read", "scan:remove") as made:
        yield made


@pytest.fixture
async def stranger(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody who may do anything, but for another tenant."""
    async with client(
        app, clock, "stranger", "other", "scan:read", "scan:write", "scan:remove"
    ) as made:
        yield made


@pytest.fixture
async def nobody(app: FastAPI, clock: Clock) -> AsyncIterator[AsyncClient]:
    """Somebody without a token."""
    async with client(app, clock, None, "demo") as made:
        yield made
