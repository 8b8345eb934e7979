"""A service as data: what it is made of, from which its processes and commands are built."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import typer
from fastapi import APIRouter, FastAPI
from prometheus_client import Gauge
from rich.console import Console
from sqlalchemy import Table
from starlette.middleware import Middleware

from libs.http.app import create_app
from libs.http.body_timeout import BodyTimeout
from libs.http.health import Check, CheckResult
from libs.http.live import StreamHub
from libs.http.revocations import following
from libs.http.shapes import PROBLEM, ErrorShape
from libs.http.sockets import Sockets, SocketSettings
from libs.jobs.table import JobTable
from libs.jobs.worker import Worker
from libs.messaging.reaction import Reaction
from libs.postgres.pool import Pool
from libs.postgres.revisions import folder_of, unapplied
from libs.process.context import (
    LOG_CONNECTIONS,
    ApiContext,
    Context,
    open_context,
    open_query_context,
    verified_by_gateway,
)
from libs.process.lifecycle import Task
from libs.process.periodic import Periodic, task_of
from libs.process.vault_purge import purge_job
from libs.projections.projection import Projection
from libs.security.tokens import MAX_INTERNAL_LIFETIME
from libs.security.vault import VaultSettings
from libs.settings import ServiceSettings, SettingsFault
from libs.telemetry.traces import Telemetry

AnySettings = TypeVar("AnySettings", bound=ServiceSettings)

OpenApp: TypeAlias = Callable[
    [AnySettings, Telemetry, Mapping[str, Check]], AbstractAsyncContextManager[Any]
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Connections:
    """The most connections of the log in each part of a service, beside one that writes.

    `tasks` are shared by the tasks and the periodic jobs of a worker; its reactions have their own,
    on which they carry out commands.
    """

    api: int = LOG_CONNECTIONS
    tasks: int = LOG_CONNECTIONS
    reactions: int = LOG_CONNECTIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class Manners:
    """How a service answers: see `libs.http.app.create_app`.

    `max_body_bytes` are by default those of the settings. `title` and `version` are what its
    OpenAPI document shows, the first by default the service's name.
    """

    shape: ErrorShape = PROBLEM
    max_body_bytes: int | None = None
    longer_bodies: Mapping[str, int] = field(default_factory=dict)
    outer: Sequence[Middleware] = ()
    docs: bool = True
    title: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """Where revoked sessions are announced: the category of the topic, and the event."""

    category: str
    event: type


def _plain_manners(_: Any) -> Manners:
    return Manners()


def _nothing(_: Any) -> Sequence[Any]:
    return ()


def _unchanged(context: Any) -> Any:
    return context


@dataclass(frozen=True, kw_only=True, slots=True)
class Service(Generic[AnySettings]):
    """What the processes and commands of a service are built from.

    `settings` are read from the environment under the service's name in capitals; `events` are
    those of its log. `context` turns the frame's `Context` into what reactions, tasks and jobs work
    with, `api_context` its `ApiContext` into what routes and commands receive. `open_verifier`
    makes that of a `QueryContext` and the service's name: by default tokens are verified with the
    keys of the gateway. `longest_statement` is the limit of queries that set one of their own; with
    `all_tenants` no query is bound to a tenant, and all use the same `pool_size` connections. The
    gateway publishes the routes and the document of services that are `published`.
    `streams` counts the streams of live queries, whose settings are `StreamSettings` too; with
    `SocketSettings` it also counts sockets, which routes serve with `app.state.sockets`.

    A service whose settings are `VaultSettings` has a vault, and `personal` are the tables of its
    read models with columns that are erased when a person is forgotten; see
    `libs.postgres.personal`.

    The worker runs the `reactions`, the `tasks`, which are open as long as they run, and the
    `jobs`: periodic ones, and the workers of queues and timers; a job is None if the settings
    switch it off. The commands `jobs` list, retry and drop what is parked in the `job_tables`. With
    `revocation` it stores revoked sessions for the API processes.

    `open_app` replaces what the frame builds. `package` holds the migrations, by default
    `services.<name>`.
    """

    name: str
    settings: type[AnySettings]
    events: Sequence[type[Any]] = ()
    projections: Callable[[AnySettings], Sequence[Projection[Any]]] = _nothing
    routers: Sequence[APIRouter] = ()
    manners: Callable[[AnySettings], Manners] = _plain_manners
    context: Callable[[Any], Any] = _unchanged
    api_context: Callable[[Any], Any] = _unchanged
    open_verifier: Callable[[Any, str], AbstractAsyncContextManager[Any]] = verified_by_gateway
    streams: Gauge | None = None
    longest_statement: timedelta | None = None
    all_tenants: bool = False
    published: bool = True
    connections: Connections = Connections()
    reactions: Sequence[Callable[[Any], Reaction[Any]]] = ()
    tasks: Sequence[Callable[[Any], AbstractAsyncContextManager[Task]]] = ()
    jobs: Sequence[Callable[[Any], "Periodic | Worker[Any] | None"]] = ()
    job_tables: Sequence[JobTable[Any]] = ()
    revocation: Revocation | None = None
    personal: Sequence[Table] = ()
    open_app: OpenApp[AnySettings] | None = None
    package: str = ""

    @property
    def has_vault(self) -> bool:
        """Whether it has keys of persons."""
        return issubclass(self.settings, VaultSettings)

    @property
    def migrations(self) -> Path:
        """The folder of its migrations. Raises MigrationFault."""
        return folder_of(self.name, self.package)

    def read_settings(self) -> AnySettings:
        """The settings; says what is wrong with them and exits with 2 if they cannot be used."""
        try:
            return self.settings.from_env(self.name.upper())
        except SettingsFault as fault:
            Console(stderr=True).print(f"{self.name} cannot start:\n{fault}", markup=False)
            raise typer.Exit(2) from fault

    @asynccontextmanager
    async def open_context(
        self, settings: AnySettings, *, purpose: str = "tasks", size: int = LOG_CONNECTIONS
    ) -> AsyncIterator[Any]:
        """What reactions, tasks and jobs work with. Raises Unavailable."""
        async with open_context(
            self.name,
            settings,
            self.events,
            purpose=purpose,
            size=size,
            personal=self.personal,
        ) as context:
            yield self.context(context)


@asynccontextmanager
async def open_service_context(
    service: Service[Any], settings: Any, telemetry: Telemetry
) -> AsyncIterator[Any]:
    """What the routes of a service receive, closed at the end. Raises Unavailable."""
    size = settings.pool_size if service.all_tenants else service.connections.api
    async with (
        open_context(
            service.name, settings, service.events, size=size, personal=service.personal
        ) as context,
        open_query_context(
            context,
            service.name,
            telemetry,
            models=[model.name for model in service.projections(settings)],
            longest_statement=service.longest_statement,
            all_tenants=service.all_tenants,
        ) as querying,
        service.open_verifier(querying, service.name) as api,
    ):
        yield service.api_context(api)


def make_app(
    service: Service[Any], context: ApiContext[Any, Any], checks: Mapping[str, Check] | None = None
) -> FastAPI:
    """The HTTP side of a service; `checks` are conditions of readiness beside its own."""
    manners = service.manners(context.settings)
    app = create_app(
        title=service.name,
        routers=service.routers,
        deps=context,
        checks={
            "database": partial(check_database, service, context.reading),
            "revocations": context.revocations.check,
            **(checks or {}),
        },
        telemetry=context.telemetry,
        problem_shape=manners.shape,
        max_body_bytes=manners.max_body_bytes or context.settings.max_body_bytes,
        longer_bodies=manners.longer_bodies,
        body_timeout=BodyTimeout.from_settings(context.settings),
        docs=manners.docs,
        published=service.published,
        outer=manners.outer,
    )
    app.title = manners.title or app.title
    app.version = manners.version or app.version
    if service.streams is not None:
        settings, positions = context.settings, context.consistency.positions
        app.state.live = StreamHub(context.doorbell, settings, positions, service.streams)
        if isinstance(settings, SocketSettings):
            app.state.sockets = Sockets(app.state.live, settings, context.reading)
    return app


async def check_database(service: Service[Any], pool: Pool) -> CheckResult:
    """Whether the database answers, and has all migrations. Raises Unavailable."""
    missing = await unapplied(service.name, pool, migrations=service.migrations)
    return CheckResult(not missing, f"{len(missing)} migrations missing" if missing else "")


@asynccontextmanager
async def open_app(
    service: Service[Any], settings: Any, telemetry: Telemetry, checks: Mapping[str, Check]
) -> AsyncIterator[Any]:
    """The ASGI app of a service, ready to be served, with all it holds. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        if service.open_app is not None:
            yield await stack.enter_async_context(service.open_app(settings, telemetry, checks))
            return
        opened = open_service_context(service, settings, telemetry)
        context = await stack.enter_async_context(opened)
        await stack.enter_async_context(following(context.revocations))
        yield make_app(service, context, checks)


@asynccontextmanager
async def open_tasks(service: Service[Any], settings: Any) -> AsyncIterator[Sequence[Task]]:
    """What the worker does beside relay, read models and reactions. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        if service.revocation is not None:
            # An API process does without Kafka's client, and the memory it takes.
            from libs.messaging.revocation_feed import open_revocation_feed

            feed = open_revocation_feed(
                settings,
                service.name,
                category=service.revocation.category,
                event=service.revocation.event,
                longest=MAX_INTERNAL_LIFETIME,
            )
            await stack.enter_async_context(feed)
        if not service.tasks and not service.jobs and not service.has_vault:
            yield ()
            return
        opened = service.open_context(settings, size=service.connections.tasks)
        context = await stack.enter_async_context(opened)
        tasks = [await stack.enter_async_context(open_task(context)) for open_task in service.tasks]
        if service.has_vault:
            purging = purge_job(service.name, settings, service.personal)
            tasks.append(task_of(purging, context.doorbell))
        yield [*tasks, *job_tasks(service, context)]


def job_tasks(service: Service[Any], context: Context[Any, Any]) -> Sequence[Task]:
    """The jobs of a service that its settings switch on. Several workers may run them."""
    jobs = [make_job(context) for make_job in service.jobs]
    return [
        job.run if isinstance(job, Worker) else task_of(job, context.doorbell)
        for job in jobs
        if job is not None
    ]


@asynccontextmanager
async def open_reactions(
    service: Service[Any], settings: Any
) -> AsyncIterator[Sequence[Reaction[Any]]]:
    """The reactions of the worker, on a context of their own. Raises Unavailable."""
    if not service.reactions:
        yield ()
        return
    size = service.connections.reactions
    async with service.open_context(settings, purpose="reactions", size=size) as context:
        yield [make_reaction(context) for make_reaction in service.reactions]
