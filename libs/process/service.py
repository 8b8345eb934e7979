"""A service as data: what it is made of, from which its processes and commands are built."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

import typer
from fastapi import APIRouter, FastAPI
from prometheus_client import Gauge
from rich.console import Console
from starlette.middleware import Middleware

from libs.eventsourcing.store import EventStore
from libs.http.app import MAX_BODY_BYTES, create_app
from libs.http.body_timeout import BodyTimeout
from libs.http.health import Check, CheckResult
from libs.http.live import StreamHub
from libs.http.problems import ProblemShape, rfc9457_shape
from libs.http.revocations import following
from libs.messaging.reaction import Reaction
from libs.postgres.pool import Pool
from libs.postgres.revisions import folder_of, unapplied
from libs.process.context import (
    LOG_CONNECTIONS,
    ApiContext,
    Context,
    open_api_context,
    open_context,
)
from libs.process.lifecycle import Task
from libs.projections.projection import Projection
from libs.security.tokens import MAX_INTERNAL_LIFETIME
from libs.settings import ServiceSettings, SettingsFault
from libs.telemetry.traces import Telemetry, set_up

AnySettings = TypeVar("AnySettings", bound=ServiceSettings)

OpenApp: TypeAlias = Callable[
    [AnySettings, Telemetry, Mapping[str, Check]], AbstractAsyncContextManager[Any]
]
OpenTasks: TypeAlias = Callable[
    [AnySettings, Telemetry], AbstractAsyncContextManager[Sequence[Task]]
]
OpenReactions: TypeAlias = Callable[
    [AnySettings, Telemetry], AbstractAsyncContextManager[Sequence[Reaction[Any]]]
]

REACTION_CONNECTIONS: Final = 2
"""Connections on which the reactions of a worker carry out commands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manners:
    """How a service answers: see `libs.http.app.create_app`.

    `title` and `version` are what its OpenAPI document shows, by default the service's name.
    """

    shape: ProblemShape = rfc9457_shape
    max_body_bytes: int = MAX_BODY_BYTES
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Service(Generic[AnySettings]):
    """What the processes and commands of a service are built from.

    `settings` are read from the environment under the service's name in capitals. `events` are
    those of its log. `open_api` turns the frame's `ApiContext` into what its routes receive;
    `longest_statement` is the limit of queries that set one of their own. `reactions` are those of
    its worker and `open_tasks` what else that does. `streams` counts the streams of a service with
    live queries, whose settings are `StreamSettings` too. With `revocation` the worker stores
    revoked sessions for its API processes.

    `open_app` and `open_reactions` replace what the frame builds. `package` holds the migrations,
    by default `services.<name>`.
    """

    name: str
    settings: type[AnySettings]
    events: Sequence[type] = ()
    projections: Callable[[AnySettings], Sequence[Projection[Any]]] = _nothing
    routers: Sequence[APIRouter] = ()
    manners: Callable[[AnySettings], Manners] = _plain_manners
    open_api: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None
    streams: Gauge | None = None
    longest_statement: timedelta | None = None
    reactions: Callable[[Any], Sequence[Reaction[Any]]] | None = None
    revocation: Revocation | None = None
    open_tasks: OpenTasks[AnySettings] | None = None
    open_app: OpenApp[AnySettings] | None = None
    open_reactions: OpenReactions[AnySettings] | None = None
    package: str = ""

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

    def context(
        self, settings: AnySettings, *, purpose: str = "log", size: int = LOG_CONNECTIONS
    ) -> AbstractAsyncContextManager[Context[AnySettings, Any]]:
        """What its commands work with; see `open_context`. Raises Unavailable."""
        return open_context(self.name, settings, self.events, purpose=purpose, size=size)

    @asynccontextmanager
    async def open_store(self, settings: AnySettings) -> AsyncIterator[EventStore[Any]]:
        """The event log alone, for a command. Raises Unavailable."""
        async with self.context(settings, purpose="command") as context:
            yield context.store


@asynccontextmanager
async def open_command_context(service: Service[Any]) -> AsyncIterator[Any]:
    """As `open_service_context`, for a command at the terminal: with its own telemetry."""
    settings = service.read_settings()
    telemetry = set_up(service.name, settings.otlp_endpoint)
    try:
        async with open_service_context(service, settings, telemetry) as context:
            yield context
    finally:
        await telemetry.stop()


@asynccontextmanager
async def open_service_context(
    service: Service[Any], settings: Any, telemetry: Telemetry
) -> AsyncIterator[Any]:
    """What the routes of a service receive, closed at the end. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(service.context(settings))
        api: Any = await stack.enter_async_context(
            open_api_context(
                context,
                service.name,
                telemetry,
                models=[model.name for model in service.projections(settings)],
                longest_statement=service.longest_statement,
            )
        )
        if service.open_api is not None:
            api = await stack.enter_async_context(service.open_api(api))
        yield api


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
        max_body_bytes=manners.max_body_bytes,
        longer_bodies=manners.longer_bodies,
        body_timeout=BodyTimeout.from_settings(context.settings),
        docs=manners.docs,
        outer=manners.outer,
    )
    app.title = manners.title or app.title
    app.version = manners.version or app.version
    if service.streams is not None:
        settings, positions = context.settings, context.consistency.positions
        app.state.live = StreamHub(context.doorbell, settings, positions, service.streams)
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
async def open_tasks(
    service: Service[Any], settings: Any, telemetry: Telemetry
) -> AsyncIterator[Sequence[Task]]:
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
        if service.open_tasks is None:
            yield ()
        else:
            yield await stack.enter_async_context(service.open_tasks(settings, telemetry))


@asynccontextmanager
async def open_reactions(
    service: Service[Any], settings: Any, telemetry: Telemetry
) -> AsyncIterator[Sequence[Reaction[Any]]]:
    """The reactions of the worker, on a context of their own. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        if service.open_reactions is not None:
            yield await stack.enter_async_context(service.open_reactions(settings, telemetry))
        elif service.reactions is None:
            yield ()
        else:
            opened = service.context(settings, purpose="reactions", size=REACTION_CONNECTIONS)
            yield service.reactions(await stack.enter_async_context(opened))
