"""A service under test: databases, its API in this process, callers, read models, its worker."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from libs.postgres.doorbell import PROJECTED
from libs.postgres.pool import Pool
from libs.process.commands import _open_worker
from libs.process.service import Service, make_app, open_service_context, open_tasks
from libs.telemetry.traces import Telemetry, set_up
from libs.testing.callers import bearer, client_of, verifier
from libs.testing.databases import migrated
from libs.testing.pools import system_pool, tenant_pool
from libs.testing.read_models import Projector

Kit = TypeVar("Kit", bound="ServiceKit")


def database_fixtures(service: str) -> tuple[Any, Any, Any]:
    """The fixtures `database`, `pool` and `reading_pool` of a service; assign them to these names.

    They are the URL of a migrated database of one's own, connections that see all tenants, and
    connections that see one tenant at a time.
    """

    @pytest.fixture
    def database(postgres_url: str) -> Iterator[str]:
        with migrated(postgres_url, service) as url:
            yield url

    @pytest.fixture
    async def pool(database: str) -> AsyncIterator[Pool]:
        async with system_pool(database, service) as opened:
            yield opened

    @pytest.fixture
    async def reading_pool(database: str) -> AsyncIterator[Pool]:
        async with tenant_pool(database, service) as opened:
            yield opened

    return database, pool, reading_pool


@dataclass(kw_only=True)
class ServiceKit:
    """The API of a service in this process, on a real database, and clients of it.

    `deps` is what its routes receive. Subclasses name the usual caller and its scopes.
    """

    SUBJECT: ClassVar[UUID] = UUID(int=1)
    SCOPES: ClassVar[Sequence[str]] = ()

    service: Service[Any]
    deps: Any
    app: FastAPI
    projector: Projector

    @property
    def settings(self) -> Any:
        """The settings it was opened with."""
        return self.deps.settings

    def client(
        self,
        subject: UUID | None = None,
        *,
        tenant: str = "demo",
        scopes: Sequence[str] | None = None,
    ) -> AbstractAsyncContextManager[AsyncClient]:
        """A client with a token, by default of the usual caller."""
        scopes = self.SCOPES if scopes is None else scopes
        subject = subject or self.SUBJECT
        token = bearer(self.service.name, subject=str(subject), tenant=tenant, scopes=scopes)
        return client_of(self.app, token)

    def anonymous(self) -> AbstractAsyncContextManager[AsyncClient]:
        """A client without a token."""
        return client_of(self.app)

    async def caught_up(self) -> None:
        """Project all events of the log."""
        await self.projector.catch_up()

    async def events(self, kind: type[Any] | None = None) -> list[Any]:
        """All events of the log, or those of one class, in order."""
        store, events = self.deps.store, []
        async for page in store.log.read_all():
            events += [store.decode(one) for one in page]
        return [one for one in events if kind is None or isinstance(one, kind)]

    async def fetch_value(self, query: str, *arguments: object) -> Any:
        """A single value from the service's tables."""
        return await self.deps.system.fetchval(query, *arguments)

    async def execute(self, statement: str, *arguments: object) -> None:
        """Run a statement on the service's tables."""
        await self.deps.system.execute(statement, *arguments)


@asynccontextmanager
async def open_kit(
    kind: type[Kit],
    service: Service[Any],
    settings: Any,
    *,
    by_worker: bool = False,
    projector: Projector | None = None,
    real_tokens: bool = False,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Kit]:
    """The API of a service whose tokens need no key server. Raises Unavailable.

    Read models are projected when they are waited for, by the `projector` of another kit if one is
    given, unless `by_worker`. With `real_tokens` callers have tokens of a gateway, and `client` is
    of no use.
    """
    telemetry = telemetry or set_up(service.name)
    async with open_service_context(service, settings, telemetry) as opened:
        if projector is None:
            projections = service.projections(settings)
            projector = Projector(opened.store, opened.system, service.name, projections)
            projector.on_commit = partial(opened.doorbell.ring, PROJECTED)
        consistency = opened.consistency if by_worker else projector
        deps = replace(opened, consistency=consistency)
        if not real_tokens:
            deps = replace(deps, verifier=verifier(service.name))
        app = make_app(service, deps)
        yield kind(service=service, deps=deps, app=app, projector=projector)


@asynccontextmanager
async def whole_worker(service: Service[Any], settings: Any) -> AsyncIterator[None]:
    """A running worker: relay, read models, tasks, jobs, reactions. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        tasks, _ = await _open_worker(service, settings, set_up(service.name), stack)
        tasks += await stack.enter_async_context(open_tasks(service, settings))
        stop = asyncio.Event()
        running = [asyncio.ensure_future(task(stop)) for task in tasks]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*running)
