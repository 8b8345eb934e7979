"""What the parts of a service work with: commands and reactions with `Context`, routes with more.

A service that holds more than that subclasses `ApiContext` and is given the opened frame.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from aiohttp import ClientSession
from pydantic import Field
from sqlalchemy import Table
from starlette.requests import HTTPConnection

from libs.clock import Clock, utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import open_log
from libs.eventsourcing.store import EventStore
from libs.http import revoked_sessions
from libs.http.auth import TokenVerifier
from libs.http.client import open_client
from libs.http.revocations import Revocations
from libs.http.session_check import SessionCheck, at_gateway
from libs.postgres.doorbell import APPENDED, Doorbell, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.projections import consistency
from libs.security.tokens import MAX_INTERNAL_LIFETIME
from libs.security.vault import Vault, VaultSettings, open_vault
from libs.settings import ServiceSettings
from libs.telemetry.traces import Telemetry

LOG_CONNECTIONS: Final = 2
"""Connections that read the log, by default; one more writes."""


class ApiSettings(ServiceSettings):
    """What a service needs to let callers in, and how long a query waits for a token's writes.

    A request body of more than `max_body_bytes` is refused.
    """

    jwks_url: str = Field(pattern=r"^https?://")
    issuer: str = Field(default="tillstream-gateway", min_length=1)
    stale_wait_seconds: float = Field(default=2.0, ge=0, le=10)
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)


class Consistency(Protocol):
    """Knows how far the read models have come."""

    async def wait_for_token(self, model: str, token: str) -> bool:
        """Whether the read model has what `token` names, before a deadline."""
        ...

    async def wait_visible(
        self, models: Sequence[str], tokens: Sequence[str], within: float
    ) -> bool:
        """Whether the read models have what `tokens` name, in time."""
        ...

    async def positions(self) -> Mapping[str, Any]:
        """The position of each read model: a value that differs whenever it moved."""
        ...

    async def caught_up(self, model: str, tenant: str) -> bool:
        """Whether the read model has all that the log holds of a tenant now, before a deadline."""
        ...


AnySettings = TypeVar("AnySettings", bound=ServiceSettings)
AnyApiSettings = TypeVar("AnyApiSettings", bound=ApiSettings)
AnyEvent = TypeVar("AnyEvent")
AnyContext = TypeVar("AnyContext")


@dataclass(frozen=True, kw_only=True)
class Context(Generic[AnySettings, AnyEvent]):
    """What commands work with. The connections of `system` see all tenants."""

    settings: AnySettings
    store: EventStore[AnyEvent]
    system: Pool
    doorbell: Doorbell
    clock: Clock = field(default=utc_now)
    vault_if_any: Vault | None = None

    @property
    def vault(self) -> Vault:
        """The keys of persons. Raises LookupError if the settings are not `VaultSettings`."""
        if self.vault_if_any is None:
            raise LookupError("a service without a vault")
        return self.vault_if_any


@dataclass(frozen=True, kw_only=True)
class QueryContext(Context[AnySettings, AnyEvent]):
    """What queries work with. `reading` shows one tenant at a time and serves queries only."""

    reading: Pool
    consistency: Consistency
    telemetry: Telemetry


@dataclass(frozen=True, kw_only=True)
class ApiContext(QueryContext[AnySettings, AnyEvent]):
    """What routes work with: queries, and the verification of their callers' tokens."""

    verifier: TokenVerifier
    revocations: Revocations


def extended(kind: Callable[..., AnyContext], base: Any, **own: Any) -> AnyContext:
    """A context of another kind: the fields of `base` and those of its own."""
    return kind(**{each.name: getattr(base, each.name) for each in fields(base)}, **own)


async def running(connection: HTTPConnection) -> Any:
    """The context an app was built with."""
    return connection.app.state.deps


@asynccontextmanager
async def open_context(
    service: str,
    settings: AnySettings,
    events: Sequence[type[AnyEvent]],
    *,
    purpose: str = "log",
    size: int = LOG_CONNECTIONS,
    personal: Sequence[Table] = (),
) -> AsyncIterator[Context[AnySettings, AnyEvent]]:
    """The log of a service, on at most `size` connections and one that writes. Raises Unavailable.

    `purpose` is what the database's own list of connections shows beside the service. With
    `VaultSettings` there is a vault on the same connections; `personal` is as in `open_vault`.
    """
    dsn = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        doorbell = await stack.enter_async_context(open_doorbell(dsn, service))
        system = await open_pool(
            dsn,
            role=application_role(service),
            schema=service,
            size=size,
            application_name=f"{service} {purpose}",
            tenant_scope=SYSTEM,
        )
        stack.push_async_callback(system.close)
        ring = partial(doorbell.ring, APPENDED)
        log = await stack.enter_async_context(open_log(system, dsn, service, on_append=ring))
        store = EventStore[AnyEvent](log, Codec(events))
        context = Context(settings=settings, store=store, system=system, doorbell=doorbell)
        if isinstance(settings, VaultSettings):
            opening = open_vault(system, settings.sealing_keys, doorbell, personal=personal)
            context = replace(context, vault_if_any=await stack.enter_async_context(opening))
        yield context


@asynccontextmanager
async def open_query_context(
    context: Context[Any, AnyEvent],
    service: str,
    telemetry: Telemetry,
    *,
    models: Sequence[str],
    longest_statement: timedelta | None = None,
    all_tenants: bool = False,
) -> AsyncIterator[QueryContext[Any, AnyEvent]]:
    """What an API process holds beside its log. Raises Unavailable.

    `models` are the names of the read models that queries wait for; `longest_statement` as in
    `open_pool`. With `all_tenants` queries use the connections of `context.system`.
    """
    settings = context.settings
    async with AsyncExitStack() as stack:
        reading = context.system
        if not all_tenants:
            reading = await _open_reading(service, settings, longest_statement)
            stack.push_async_callback(reading.close)
        level = consistency.Consistency(
            context.system,
            models,
            deadline=settings.stale_wait_seconds,
            doorbell=context.doorbell,
        )
        stack.push_async_callback(level.close)
        yield extended(
            QueryContext, context, reading=reading, consistency=level, telemetry=telemetry
        )


@asynccontextmanager
async def verified_by_gateway(
    context: QueryContext[AnyApiSettings, AnyEvent], service: str
) -> AsyncIterator[ApiContext[AnyApiSettings, AnyEvent]]:
    """A context whose callers' tokens are verified with the keys of the gateway."""
    async with open_client() as client:
        load = partial(revoked_sessions.load, context.system)
        revocations = Revocations(load, context.doorbell, longest=MAX_INTERNAL_LIFETIME)
        verifier = _verifier(service, context.settings, client, revocations)
        yield extended(ApiContext, context, verifier=verifier, revocations=revocations)


async def _open_reading(
    service: str, settings: ServiceSettings, longest_statement: timedelta | None
) -> Pool:
    return await open_pool(
        settings.database_url.get_secret_value(),
        role=application_role(service),
        schema=service,
        size=settings.pool_size,
        application_name=f"{service} reading",
        longest_statement=longest_statement,
    )


def _verifier(
    service: str, settings: ApiSettings, client: ClientSession, revocations: Revocations
) -> TokenVerifier:
    return TokenVerifier(
        audience=service,
        issuer=settings.issuer,
        jwks_url=settings.jwks_url,
        session=client,
        revoked=revocations.is_revoked,
        live=SessionCheck(revocations, at_gateway(client, settings.jwks_url)).is_live,
    )
