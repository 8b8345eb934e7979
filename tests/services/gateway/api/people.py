"""People at the doors of the crm and the kiosks: opened, let in, and what they hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from httpx import ASGITransport, AsyncClient

from services.gateway import bootstrap
from services.gateway.api.login import access_of
from services.gateway.deps import Deps
from services.gateway.domain.person import Person
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.handlers.account import open_account
from services.gateway.handlers.identity import Profile
from services.gateway.handlers.session import open_session
from tests.services.gateway.code_desk import some_address
from tests.services.gateway.conftest import gateway_settings
from tests.services.gateway.told import catch_up

PASSWORD = "correct horse battery"


@dataclass
class Entered:
    """Somebody who is in."""

    profile: Profile
    bearer: str

    @property
    def says(self) -> dict[str, str]:
        """The header they show."""
        return {"Authorization": f"Bearer {self.bearer}"}


@asynccontextmanager
async def a_gateway(url: str, **different: Any) -> AsyncIterator[Deps]:
    """A gateway whose people are of a tenant of their own. Nothing projects: see `catch_up`."""
    tenant = f"t{uuid4().hex[:12]}"
    given = {"database_url": url, "people_tenant": tenant, "stale_wait_seconds": 0} | different
    async with bootstrap.open_deps(gateway_settings("http://127.0.0.1:1", **given)) as deps:
        yield deps


@asynccontextmanager
async def a_client(deps: Deps) -> AsyncIterator[AsyncClient]:
    """A browser or a program at an address of its own."""
    transport = ASGITransport(bootstrap.create_app(deps), client=(some_address(), 5555))
    async with AsyncClient(transport=transport, base_url="http://gateway") as opened:
        yield opened


def some_name() -> str:
    """A user name nobody has."""
    return f"Olga-{uuid4().hex[:12]}"


def some_email() -> str:
    """An address nobody has."""
    return f"Anna.{uuid4().hex[:12]}@shop.example"


async def opened(deps: Deps, realm: Realm, role: str, tenant: str | None = None) -> Profile:
    """An account with this role, in the gateway's tenant unless said otherwise."""
    place = Place(realm, tenant or deps.settings.people_tenant)
    person = Person(email=some_email(), username=some_name(), name="Ольга Иванова")
    return await open_account(
        deps.identity, person, password=PASSWORD, roles=[Role(place, role)], actor="test"
    )


async def entered(deps: Deps, realm: Realm, role: str, tenant: str | None = None) -> Entered:
    """Somebody new who is in; lists know of them."""
    profile = await opened(deps, realm, role, tenant)
    (place,) = profile.roles
    logged_in = await open_session(deps.identity, profile.account_id, place, device="test")
    await catch_up(deps.identity)
    return Entered(profile, access_of(deps, logged_in).bearer)


@asynccontextmanager
async def projecting(deps: Deps) -> AsyncIterator[None]:
    """Meanwhile the projectors work."""

    async def work() -> None:
        while True:
            await catch_up(deps.identity)

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
