"""A gateway on a real database, its accounts and clients.

Read models are projected only in `projecting` and by `catch_up`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partialmethod
from typing import Any, Final
from uuid import uuid4

import asyncpg
from httpx import AsyncClient, Response

from libs.clock import Clock
from libs.messaging.worker import open_worker
from libs.security import tokens
from libs.security.passwords import Passwords
from libs.testing import callers
from services.gateway import bootstrap
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import PLATFORM, Realm, Role, Workspace
from services.gateway.accounts.handlers.identity import Identity, Profile
from services.gateway.administration.handlers.account import open_account
from services.gateway.context import Deps
from services.gateway.sessions.adapters.access_tokens import AUDIENCE
from services.gateway.sessions.api.login import access_of
from services.gateway.sessions.handlers.session import LoggedIn, open_session
from tests.libs.messaging.lab import running
from tests.services.gateway.app import gateway_settings, open_context
from tests.services.gateway.code_context import some_address
from tests.services.gateway.identities import CHEAP, catch_up, history_of

PASSWORD: Final = "correct horse battery"
NEW_PASSWORD: Final = "battery staple"
PLATFORM_WORKSPACE = Workspace(Realm.PLATFORM, PLATFORM)
KIOSKS, SCALES = Workspace(Realm.KIOSK, "demo"), Workspace(Realm.SCALES, "demo")
CHIEF = Role(PLATFORM_WORKSPACE, "superadmin")
MANAGER, STAFF = Role(KIOSKS, "admin"), Role(KIOSKS, "staff")
WEIGHER = Role(SCALES, "user")
MOST_STALE_SECONDS: Final = 30
"""The longest wait for read models, for the tests with `projecting`."""


@dataclass(frozen=True)
class Projectors:
    """Projects the read models whenever an answer waits for them."""

    identity: Identity

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Project them; True."""
        await catch_up(self.identity)
        return True


@asynccontextmanager
async def gateway_on(url: str, *, by_worker: bool = False, **different: Any) -> AsyncIterator[Deps]:
    """The dependencies of a gateway on this database, with cheap hashes of passwords.

    Answers that wait for read models have them projected here, or by a worker.
    """
    settings = gateway_settings("http://127.0.0.1:1", database_url=url, **different)
    async with open_context(settings) as opened:
        passwords = Passwords(cost=CHEAP)
        identity = replace(opened.identity, passwords=passwords)
        read_models: Any = opened.consistency if by_worker else Projectors(identity)
        yield replace(opened, identity=identity, consistency=read_models)
        passwords.close()


def client_of(
    deps: Deps, headers: dict[str, str] | None = None, **options: Any
) -> AbstractAsyncContextManager[AsyncClient]:
    """A client at a new address."""
    return _client(bootstrap.create_app(deps), headers, **options)


def _client(
    app: Any, headers: dict[str, str] | None = None, **options: Any
) -> AbstractAsyncContextManager[AsyncClient]:
    given = {"base_url": "http://gateway", "address": some_address()} | options
    return callers.client_of(app, headers, **given)


def some_email() -> str:
    """A new e-mail address."""
    return f"Anna.{uuid4().hex[:12]}@shop.example"


def some_name() -> str:
    """A new user name."""
    return f"Olga-{uuid4().hex[:12]}"


def bearer(token: str) -> dict[str, str]:
    """The header with an access token."""
    return {"Authorization": f"Bearer {token}"}


def claims_of(deps: Deps, token: str) -> tokens.Claims:
    """The claims of an access token, verified as at the doors."""
    return tokens.verify(
        token,
        deps.signing_keys.public,
        audience=AUDIENCE,
        issuer=deps.settings.token_issuer,
        now=deps.identity.clock(),
        typ=tokens.ACCESS,
    )


async def events(deps: Deps, kind: type[Any]) -> list[Any]:
    """All events of a kind, oldest first."""
    history = await history_of(deps.identity)
    return [one.event for one in history if isinstance(one.event, kind)]


@asynccontextmanager
async def projecting(deps: Deps) -> AsyncIterator[None]:
    """Project the read models continuously."""

    async def work() -> None:
        while True:
            # On a busy machine the lock may time out: the next round gets it.
            with suppress(asyncpg.LockNotAvailableError):
                await catch_up(deps.identity)
            await asyncio.sleep(0.01)

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


@dataclass(frozen=True)
class Member:
    """A member who is logged in, and their client."""

    profile: Profile
    client: AsyncClient
    headers: Mapping[str, str]

    async def ask(self, method: str, path: str, json: Any = None, **more: Any) -> Response:
        return await self.client.request(method, path, json=json, headers=self.headers, **more)

    get = partialmethod(ask, "GET")
    post = partialmethod(ask, "POST")
    put = partialmethod(ask, "PUT")
    patch = partialmethod(ask, "PATCH")
    delete = partialmethod(ask, "DELETE")


@dataclass(frozen=True)
class Harness:
    """A gateway and a client of it, with helpers for its accounts."""

    deps: Deps
    app: Any
    client: AsyncClient

    def another_client(
        self, headers: dict[str, str] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[AsyncClient]:
        """A client at a new address."""
        return _client(self.app, headers, **options)

    async def create_account(self, *roles: Role, email: str | None = None, **who: Any) -> Profile:
        """A new account with these roles and `PASSWORD`."""
        person = Person(email=email or some_email(), **who)
        return await open_account(
            self.deps.identity, person, password=PASSWORD, roles=roles, actor="test"
        )

    async def email_of(self, *roles: Role) -> str:
        return str((await self.create_account(*roles)).person.email)

    async def log_in(
        self, who: Profile, workspace: Workspace, device: str = "phone"
    ) -> tuple[LoggedIn, dict[str, str]]:
        """A session of the account in a workspace, and the header with its token."""
        into = await open_session(self.deps.identity, who.account_id, workspace, device=device)
        return into, bearer(access_of(self.deps, into).bearer)

    def at(self, clock: Clock) -> Deps:
        """The dependencies with another clock for accounts, sessions and devices."""
        return replace(self.deps, identity=replace(self.deps.identity, clock=clock))

    async def header_of(self, role: Role) -> dict[str, str]:
        """The header of a new account with one role."""
        return (await self.log_in(await self.create_account(role), role.workspace))[1]

    async def events(self, kind: type[Any]) -> list[Any]:
        return await events(self.deps, kind)

    async def account(self, realm: Realm, role: str, tenant: str | None = None) -> Profile:
        """A new account with this role, in the gateway's tenant by default."""
        workspace = Workspace(realm, tenant or self.deps.settings.people_tenant)
        return await self.create_account(
            Role(workspace, role), username=some_name(), name="Ольга Иванова"
        )

    async def member(self, realm: Realm, role: str, tenant: str | None = None) -> Member:
        """A new account that is logged in and in the read models."""
        profile = await self.account(realm, role, tenant)
        (workspace,) = profile.roles
        _, headers = await self.log_in(profile, workspace)
        await self.catch_up()
        return Member(profile, self.client, headers)

    async def catch_up(self) -> None:
        await catch_up(self.deps.identity)

    async def token(self, email: str, password: str = PASSWORD) -> Response:
        """Log in at the crm."""
        form = {"username": email, "password": password}
        return await self.client.post("/api/v1/auth/token", data=form)

    async def login(self, username: str, password: str = PASSWORD, path: str = "auth") -> Response:
        """Log in at the kiosks."""
        body = {"username": username, "password": password}
        return await self.client.post(f"/api/v1/{path}/login", json=body)


@asynccontextmanager
async def demo_on(url: str, **different: Any) -> AsyncIterator[Harness]:
    """A harness on this database whose people are of the tenant `demo`."""
    async with gateway_on(url, **different) as deps:
        app = bootstrap.create_app(deps)
        async with _client(app) as client:
            yield Harness(deps, app, client)


def harness_on(url: str, **different: Any) -> AbstractAsyncContextManager[Harness]:
    """A harness on this database whose people have a tenant of their own."""
    # On a busy machine much time may pass between a refresh and its repetition.
    patient = {"refresh_grace_seconds": 30, "refresh_grace_seconds_kiosk": 60}
    own = {"people_tenant": f"t{uuid4().hex[:12]}", "stale_wait_seconds": 0}
    return demo_on(url, **patient | own | different)


@asynccontextmanager
async def harness_with_worker(url: str) -> AsyncIterator[Harness]:
    """A harness with a worker that projects; answers wait for it."""
    waits = {"stale_wait_seconds": MOST_STALE_SECONDS, "by_worker": True}
    async with (
        harness_on(url, **waits) as harness,
        open_worker(
            harness.deps.settings,
            service=bootstrap.SERVICE.name,
            projections=bootstrap.SERVICE.projections(harness.deps.settings),
            telemetry=harness.deps.telemetry,
        ) as worker,
        running(worker.projections),
    ):
        yield harness


def crm_user(**more: Any) -> dict[str, Any]:
    """The request for a new user of the crm."""
    body = {"email": some_email(), "password": PASSWORD, "full_name": "Пётр Кузнецов"}
    return {**body, "role": "ENGINEER", **more}


def kiosk_user(**more: Any) -> dict[str, Any]:
    """The request for a new user of the kiosks."""
    return {"username": some_name(), "password": PASSWORD, **more}


def crm_error(answer: Response) -> tuple[int, str]:
    """The status and code; the site must find no `detail`."""
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message", "details"}
    return answer.status_code, answer.json()["error"]["code"]


def limit_of(answer: Response) -> str:
    """The name of the limit of a 429, whose headers are checked."""
    policy, seconds = answer.headers["RateLimit-Policy"], int(answer.headers["Retry-After"])
    found = re.fullmatch(r'"([a-z-]+)";q=[1-9][0-9]*;w=[1-9][0-9]*', policy)
    assert answer.status_code == 429
    assert found is not None, policy
    assert seconds >= 1
    assert answer.headers["RateLimit"] == f'"{found[1]}";r=0;t={seconds}'
    return found[1]


def kiosk_error(answer: Response) -> tuple[int, str]:
    """The status and code of a refusal, which has the clients' three fields."""
    body = answer.json()
    assert body.keys() == {"detail", "code", "request_id"}
    assert body["request_id"] == answer.headers["X-Request-Id"]
    return answer.status_code, body["code"]
