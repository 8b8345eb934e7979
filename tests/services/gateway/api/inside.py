"""A gateway on a real database with people in it, for tests of what members may do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from httpx import ASGITransport, AsyncClient

from contracts.gateway import AccountId
from libs.eventsourcing.store import envelope
from libs.postgres.pool import acquired
from services.gateway import bootstrap
from services.gateway.api.login import access_of
from services.gateway.deps import Deps
from services.gateway.domain.person import Person
from services.gateway.domain.realm import PLATFORM, Place, Realm, Role
from services.gateway.handlers.account import open_account
from services.gateway.handlers.identity import Profile
from services.gateway.handlers.session import LoggedIn, open_session
from services.gateway.read_models import account_rows, api_key, session
from tests.services.gateway.code_desk import some_address
from tests.services.gateway.conftest import gateway_settings

PASSWORD = "correct horse battery"
HOUSE = Place(Realm.PLATFORM, PLATFORM)
KIOSKS, SCALES = Place(Realm.KIOSK, "demo"), Place(Realm.SCALES, "demo")
CHIEF = Role(HOUSE, "superadmin")
MANAGER, STAFF = Role(KIOSKS, "admin"), Role(KIOSKS, "staff")
WEIGHER = Role(SCALES, "user")


@asynccontextmanager
async def gateway_on(url: str, **different: Any) -> AsyncIterator[Deps]:
    """What a gateway on this database holds."""
    settings = gateway_settings("http://127.0.0.1:1", database_url=url, **different)
    async with bootstrap.open_deps(settings) as opened:
        yield opened


@asynccontextmanager
async def client_of(deps: Deps, **options: Any) -> AsyncIterator[AsyncClient]:
    """A client at an address nobody used before."""
    transport = ASGITransport(bootstrap.create_app(deps), client=(some_address(), 5555))
    given = {"base_url": "http://gateway"} | options
    async with AsyncClient(transport=transport, **given) as opened:
        yield opened


def some_email() -> str:
    """An address nobody used before."""
    return f"anna-{uuid4().hex[:12]}@shop.example"


async def somebody(deps: Deps, *roles: Role, email: str | None = None) -> Profile:
    """Somebody with these roles and `PASSWORD`."""
    person = Person(email=email or some_email())
    return await open_account(deps.identity, person, password=PASSWORD, roles=roles, actor="test")


async def inside(
    deps: Deps, who: AccountId, place: Place, device: str = "phone"
) -> tuple[LoggedIn, dict[str, str]]:
    """Their session in a place, and the header that it gives them."""
    into = await open_session(deps.identity, who, place, device=device)
    return into, {"Authorization": f"Bearer {access_of(deps, into).bearer}"}


async def as_somebody(deps: Deps, role: Role) -> dict[str, str]:
    """The header of somebody new with one role."""
    made = await somebody(deps, role)
    return (await inside(deps, made.account_id, role.place))[1]


async def events(deps: Deps, kind: type[Any]) -> list[Any]:
    """All events of a kind that were ever told."""
    return [one.event for one in await _history(deps) if isinstance(one.event, kind)]


async def catch_up(deps: Deps) -> None:
    """Do all of the projectors' work."""
    history = await _history(deps)
    async with acquired(deps.pool) as connection, connection.transaction():
        for table in ("account", "account_role", "account_address", "session", "api_key"):
            await connection.execute(f"DELETE FROM {table}")
        await account_rows.project(connection, history)
        await session.project(connection, history)
        await api_key.project(connection, history)


async def _history(deps: Deps) -> list[Any]:
    store = deps.store
    pages = [page async for page in store.log.read_all()]
    return [envelope(one, store.decode(one)) for page in pages for one in page]
