"""What tests of accounts and sessions stand on: a real database, a clock, projectors' work."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.envelope import Envelope
from contracts.gateway import EVENTS, AccountId, GatewayEvent, LoginRefused
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore, envelope
from libs.postgres.pool import SYSTEM, Pool, acquired, open_pool
from libs.postgres.rls import application_role
from libs.security.passwords import Cost, Passwords
from libs.security.sealing import Seal, generate_key
from services.gateway.adapters.turns import Turns
from services.gateway.domain.person import Person, email
from services.gateway.domain.realm import Place, Role
from services.gateway.domain.session import Term
from services.gateway.handlers import account as accounts
from services.gateway.handlers.identity import Identity, Profile
from services.gateway.handlers.login import log_in
from services.gateway.handlers.session import LoggedIn
from services.gateway.read_models import account_rows, session

NOW = datetime(2030, 1, 1, tzinfo=UTC)
GRACE, LIFETIME = timedelta(seconds=10), timedelta(days=7)
CRM, KIOSK = Place("crm", "demo"), Place("kiosk", "demo")
ENGINEER, SUPERADMIN = Role(CRM, "ENGINEER"), Role(KIOSK, "superadmin")
PASSWORD = "correct horse"
CHEAP = Cost(memory_kib=64, passes=1)


@dataclass
class Clock:
    """Time stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        """Let a `timedelta` go by."""
        self.now += timedelta(**duration)


@asynccontextmanager
async def gateway_pool(database: str, size: int = 5) -> AsyncIterator[Pool]:
    """Connections with the gateway's rights to a migrated database."""
    pool = await open_pool(
        database,
        role=application_role("gateway"),
        schema="gateway",
        size=size,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    yield pool
    await pool.close()


@asynccontextmanager
async def an_identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    """All that accounts and sessions work with; hashes cost next to nothing."""
    async with gateway_pool(database) as pool:
        log, passwords = PostgresLog(pool), Passwords(cost=CHEAP)
        yield Identity(
            store=EventStore[GatewayEvent](log, Codec(EVENTS), clock=clock),
            pool=pool,
            seal=Seal([generate_key()]),
            passwords=passwords,
            refresh_key=b"k" * 32,
            term_of=lambda place, role: Term(lifetime=LIFETIME, grace=GRACE),
            turns=Turns(pool),
            clock=clock,
        )
        passwords.close()
        await log.close()


async def open_account(
    identity: Identity,
    address: str = "anna@example.com",
    *roles: Role,
    password: str | None = PASSWORD,
    **who: Any,
) -> Profile:
    """Somebody with this e-mail address, an engineer unless said otherwise."""
    return await accounts.open_account(
        identity,
        Person(email=address, **who),
        password=password,
        roles=roles or (ENGINEER,),
        actor="test",
    )


async def enter(
    identity: Identity,
    address: str = "anna@example.com",
    password: str = PASSWORD,
    place: Place = CRM,
    device: str = "phone",
) -> LoggedIn:
    """Log in with an e-mail address."""
    return await log_in(
        identity,
        realm=place.realm,
        tenant=place.tenant,
        address=email(address),
        password=password,
        device=device,
    )


async def told(identity: Identity) -> list[Envelope[GatewayEvent]]:
    """All that was ever told."""
    store = identity.store
    pages = [page async for page in store.log.read_all()]
    return [envelope(one, store.decode(one)) for page in pages for one in page]


async def events_of(identity: Identity, account_id: AccountId) -> list[str]:
    """The names of what happened to an account."""
    stream = f"account-{account_id}"
    return [type(e.event).__name__ for e in await told(identity) if e.stream == stream]


async def refusals(identity: Identity) -> list[LoginRefused]:
    """All logins that were refused, as far as they were recorded."""
    return [e.event for e in await told(identity) if isinstance(e.event, LoginRefused)]


TABLES = ("account", "account_role", "account_address", "session")


async def catch_up(identity: Identity) -> None:
    """Do all of the projectors' work."""
    history = await told(identity)
    async with acquired(identity.pool) as connection, connection.transaction():
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table}")
        await account_rows.project(connection, history)
        await session.project(connection, history)


async def tables(pool: Pool) -> dict[str, Sequence[Any]]:
    """Everything in the read models, in one order."""
    return {
        table: [tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} t ORDER BY t")]
        for table in TABLES
    }
