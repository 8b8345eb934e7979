"""Accounts and sessions on a real database, with a clock to set and read models to catch up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from contracts.envelope import Envelope
from contracts.gateway import EVENTS, AccountId, GatewayEvent, LoginRefused
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore, envelope
from libs.postgres.pool import acquired
from libs.security.passwords import Cost, Passwords
from libs.security.sealing import Seal, generate_key
from libs.testing.clock import NOON, Clock
from libs.testing.pools import system_pool
from services.gateway.adapters.turns import Turns
from services.gateway.domain.person import Person, email
from services.gateway.domain.realm import Place, Role
from services.gateway.domain.session import Term
from services.gateway.handlers import account as accounts
from services.gateway.handlers.identity import Identity, Profile
from services.gateway.handlers.login import log_in
from services.gateway.handlers.session import LoggedIn
from services.gateway.read_models import account_rows, session

NOW = NOON
GRACE, LIFETIME = timedelta(seconds=10), timedelta(days=7)
CRM, KIOSK = Place("crm", "demo"), Place("kiosk", "demo")
OTHER_CRM, OTHER_KIOSK = Place("crm", "other"), Place("kiosk", "other")
ENGINEER, SUPERADMIN, STAFF = Role(CRM, "ENGINEER"), Role(KIOSK, "superadmin"), Role(KIOSK, "staff")
ANNA, BORIS = "anna@example.com", "boris@example.com"
PASSWORD, NEW_PASSWORD = "correct horse", "battery staple"
CHEAP, DEARER = Cost(memory_kib=64, passes=1), Cost(memory_kib=128, passes=1)
TABLES = ("account", "account_role", "account_address", "session")


@asynccontextmanager
async def open_identity(database: str, clock: Clock) -> AsyncIterator[Identity]:
    """All that accounts and sessions work with; hashes cost next to nothing."""
    async with system_pool(database, "gateway", size=5) as pool:
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
    address: str = ANNA,
    *roles: Role,
    password: str | None = PASSWORD,
    **person: Any,
) -> Profile:
    """An account with this e-mail address, of an engineer by default."""
    return await accounts.open_account(
        identity,
        Person(email=address, **person),
        password=password,
        roles=roles or (ENGINEER,),
        actor="test",
    )


async def open_several(
    identity: Identity, number: int, role: Role = ENGINEER, *, name: str = "a"
) -> list[Profile]:
    """Accounts with addresses of their own, in the role; the read models know them."""
    opened = [await open_account(identity, f"{name}{n}@example.com", role) for n in range(number)]
    await catch_up(identity)
    return opened


async def change_email(identity: Identity, account_id: AccountId, address: str) -> Profile:
    """The account has this e-mail address instead, and no other addresses."""
    return await accounts.change_person(
        identity, account_id, Person(email=address), actor=str(account_id)
    )


async def reset_password(identity: Identity, account_id: AccountId) -> None:
    """An administrator sets `NEW_PASSWORD`."""
    await accounts.reset_password(identity, account_id, new=NEW_PASSWORD, actor="test")


async def enter(
    identity: Identity,
    address: str | None = ANNA,
    password: str = PASSWORD,
    place: Place = CRM,
    device: str = "phone",
    **options: Any,
) -> LoggedIn:
    """Log in with an e-mail address; `options` as `log_in` has them."""
    given: dict[str, Any] = {"realm": place.realm, "tenant": place.tenant} | options
    return await log_in(
        identity,
        address=None if address is None else email(address),
        password=password,
        device=device,
        **given,
    )


async def enter_new(identity: Identity) -> LoggedIn:
    """Open the account of `ANNA` and log in."""
    await open_account(identity)
    return await enter(identity)


async def history_of(identity: Identity) -> list[Envelope[GatewayEvent]]:
    """The whole log."""
    store = identity.store
    pages = [page async for page in store.log.read_all()]
    return [envelope(one, store.decode(one)) for page in pages for one in page]


async def events_of(identity: Identity, account_id: AccountId) -> list[str]:
    """The names of the events of an account."""
    stream = f"account-{account_id}"
    return [type(e.event).__name__ for e in await history_of(identity) if e.stream == stream]


async def refusals(identity: Identity) -> list[LoginRefused]:
    """All logins that were refused, as far as they were recorded."""
    return [e.event for e in await history_of(identity) if isinstance(e.event, LoginRefused)]


async def catch_up(identity: Identity) -> None:
    """Build the read models of accounts and sessions anew, in one transaction."""
    history = await history_of(identity)
    async with acquired(identity.pool) as connection, connection.transaction():
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table}")
        await account_rows.project(connection, history)
        await session.project(connection, history)
