"""Build the gateway and everything it holds."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware

from contracts.gateway import EVENTS, GatewayEvent
from libs.clock import utc_now
from libs.errors import Refused
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import open_log
from libs.eventsourcing.store import EventStore
from libs.http import revoked_sessions as all_revoked
from libs.http.app import create_app as http_app
from libs.http.auth import TokenVerifier
from libs.http.body_timeout import BodyTimeout
from libs.http.health import Check
from libs.http.problems import redacted_detail_shape
from libs.http.revocations import MARGIN, Revocations, following
from libs.http.session_check import SessionCheck
from libs.postgres.doorbell import APPENDED, REVOKED, Doorbell, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.process.lifecycle import Task
from libs.process.periodic import periodic
from libs.projections.consistency import Consistency
from libs.projections.projection import Projection
from libs.security.passwords import Passwords
from libs.security.sealing import derive_key
from libs.security.tokens import ACCESS, KeyRing
from libs.telemetry import traces
from libs.telemetry.traces import Telemetry
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.accounts.read_models import account
from services.gateway.accounts.stores.advisory_lock import AdvisoryLock
from services.gateway.api_keys import handlers as keys
from services.gateway.api_keys import read_models as api_key
from services.gateway.api_keys.stores import key_uses
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.bot.api import announced
from services.gateway.context import Deps
from services.gateway.doors.api.cors import Cors
from services.gateway.doors.api.local_routes import LocalRoutes
from services.gateway.doors.domain.doors import DOORS, bound
from services.gateway.doors.stores import MEMORY, Limits
from services.gateway.proxy.adapters.breaker import Breaker
from services.gateway.proxy.adapters.internal_tokens import InternalTokenIssuer
from services.gateway.proxy.adapters.upstream import Deadlines, Upstream, open_upstream
from services.gateway.proxy.api.documents import Documents
from services.gateway.proxy.api.door import Doors
from services.gateway.proxy.api.internal_only import InternalOnly
from services.gateway.proxy.api.readiness import readiness
from services.gateway.proxy.stores import IdempotencyStore
from services.gateway.routers import ROUTERS
from services.gateway.sessions import read_models as session
from services.gateway.sessions.adapters.access_tokens import AUDIENCE, AccessTokens
from services.gateway.sessions.handlers import session as sessions_of
from services.gateway.sessions.stores import revoked as revoked_sessions
from services.gateway.settings import Settings, seal_keys
from services.gateway.telegram.adapters import Bot, open_bot, webhook_secret
from services.gateway.telegram.handlers.one_time_code import CodeContext, owners
from services.gateway.telegram.stores.codes import Codes
from services.gateway.telegram.stores.links import TelegramLinks

SERVICE: Final = "gateway"
CLIENT_KEY: Final = "scan clients"
FORGET_SECONDS: Final = 3600.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_deps(settings: Settings, telemetry: Telemetry | None = None) -> AsyncIterator[Deps]:
    """All the gateway holds, closed at the end; the configured key is issued on the way.

    Without a `telemetry` it opens its own. Raises Unavailable or LogUnavailable if the database is
    away.
    """
    async with AsyncExitStack() as stack:
        if telemetry is None:
            telemetry = traces.set_up(SERVICE, settings.otlp_endpoint)
            stack.push_async_callback(telemetry.stop)
        pool = await _pool(settings, size=settings.pool_size)
        stack.push_async_callback(pool.close)
        dsn = settings.database_url.get_secret_value()
        doorbell = await stack.enter_async_context(open_doorbell(dsn, SERVICE))
        event_log = await stack.enter_async_context(
            open_log(pool, dsn, SERVICE, on_append=partial(doorbell.ring, APPENDED))
        )
        store = EventStore[GatewayEvent](event_log, Codec(EVENTS))
        await _ensure_client_key(settings, store)
        upstreams = await stack.enter_async_context(open_upstreams(settings))
        bot = await stack.enter_async_context(open_telegram(settings))
        deps = make_deps(settings, telemetry, pool, store, upstreams, bot=bot, doorbell=doorbell)
        stack.push_async_callback(deps.consistency.close)
        stack.push_async_callback(deps.key_uses.close)
        stack.callback(deps.identity.passwords.close)
        yield deps


@asynccontextmanager
async def open_upstreams(settings: Settings) -> AsyncIterator[Mapping[str, Upstream]]:
    """A client for every service behind a door."""
    async with AsyncExitStack() as stack:
        yield {
            service: await stack.enter_async_context(_upstream(settings, service))
            for service in {door.service for door in DOORS if door.service}
        }


@asynccontextmanager
async def open_telegram(settings: Settings) -> AsyncIterator[Bot | None]:
    """The bot, if there is a token."""
    if settings.telegram_token is None:
        yield None
        return
    token = settings.telegram_token.get_secret_value()
    async with open_bot(settings.telegram_url, token) as bot:
        yield bot


def make_deps(
    settings: Settings,
    telemetry: Telemetry,
    pool: Pool,
    store: EventStore[GatewayEvent],
    upstreams: Mapping[str, Upstream],
    *,
    bot: Bot | None = None,
    doorbell: Doorbell | None = None,
) -> Deps:
    """What follows from the settings and from what was opened.

    Without a `doorbell` other processes are not rung.
    """
    if settings.profile == "test":
        log.warning("profile test: no rate limits, and a phone whose code everybody knows")
    doorbell = doorbell or Doorbell(settings.database_url.get_secret_value(), SERVICE)
    revocations = make_revocations(settings, pool, doorbell)
    identity = make_identity(settings, pool, store, revocations, doorbell)
    bot_token = settings.telegram_token
    signing_keys = KeyRing.from_pem(settings.signing_key.get_secret_value())
    storage = settings.rate_limit_storage
    return Deps(
        settings=settings,
        pool=pool,
        store=store,
        consistency=Consistency(
            pool, [model.name for model in projections(settings)], doorbell=doorbell
        ),
        upstreams=upstreams,
        signing_keys=signing_keys,
        revocations=revocations,
        verifier=TokenVerifier(
            audience=AUDIENCE,
            issuer=settings.token_issuer,
            keys=signing_keys.public,
            revoked=revocations.is_revoked,
            live=SessionCheck(revocations, partial(sessions_of.is_live, identity)).is_live,
            typ=ACCESS,
        ),
        identity=identity,
        code_context=make_code_context(settings, identity, bot),
        webhook_secret=webhook_secret(bot_token.get_secret_value()) if bot_token else None,
        telemetry=telemetry,
        doors=bound(settings.doors_by_host()),
        idempotency_store=IdempotencyStore(pool),
        key_uses=key_uses.KeyUses(pool),
        keys=KnownKeys(
            partial(api_key.caller_of, pool),
            fresh=settings.key_fresh_seconds,
            stale=settings.key_stale_seconds,
        ),
        internal_tokens=InternalTokenIssuer(
            signing_keys,
            issuer=settings.issuer,
            lifetime=timedelta(seconds=settings.token_seconds),
            clock=utc_now,
        ),
        access_tokens=AccessTokens(
            signing_keys,
            issuer=settings.token_issuer,
            lifetimes=settings.access_lifetimes,
            clock=utc_now,
        ),
        limits=Limits(
            settings.rate_limits,
            storage=storage.get_secret_value() if storage else MEMORY,
        ),
    )


def make_revocations(settings: Settings, pool: Pool, doorbell: Doorbell) -> Revocations:
    """What remembers the sessions that are over, for as long as a token of theirs may live."""
    longest = max(settings.access_lifetimes.values())
    load = partial(revoked_sessions.load, pool, longest + MARGIN)
    return Revocations(load, doorbell, longest=longest)


def make_identity(
    settings: Settings,
    pool: Pool,
    store: EventStore[GatewayEvent],
    revocations: Revocations,
    doorbell: Doorbell,
) -> Identity:
    """What accounts and sessions work with. Close its `passwords`."""

    async def on_revoked(session_id: str, revoked_at: datetime) -> None:
        revocations.remember(session_id, revoked_at)
        await revoked_sessions.add(pool, session_id, revoked_at, kept=revocations.retention)
        doorbell.ring(REVOKED)

    return Identity(
        store=store,
        pool=pool,
        seal=settings.seal(),
        passwords=Passwords(parallel=settings.password_threads),
        refresh_key=derive_key(settings.refresh_key.get_secret_value(), "refresh"),
        term_of=settings.term_of,
        locks=AdvisoryLock(pool),
        on_revoked=on_revoked,
        clock=utc_now,
    )


def make_code_context(settings: Settings, identity: Identity, bot: Bot | None) -> CodeContext:
    """What one-time codes and the bot work with. In any other profile no code is ever shown."""
    # The oldest key, as for digests: a new one in front leaves the codes under way alone.
    key = derive_key(seal_keys(settings.seal_keys)[-1], "one-time code")
    return CodeContext(
        codes=Codes(identity.pool, seal=identity.seal, key=key),
        links=TelegramLinks(identity.pool, seal=identity.seal),
        who_has=owners(identity),
        bot=bot,
        bot_name=settings.telegram_bot,
        is_demo=settings.profile in ("demo", "test"),
        is_test=settings.profile == "test",
        clock=identity.clock,
    )


@asynccontextmanager
async def open_app(
    settings: Settings, telemetry: Telemetry, checks: Mapping[str, Check]
) -> AsyncIterator[FastAPI]:
    """The API, ready to be served, with everything it holds open."""
    async with (
        open_deps(settings, telemetry) as deps,
        announced(deps),
        following(deps.revocations),
    ):
        yield create_app(deps, checks=checks)


def create_app(deps: Deps, *, checks: Mapping[str, Check] | None = None) -> FastAPI:
    """The gateway's HTTP side: CORS around everything, then the doors, then what it says itself.

    `checks` are further conditions of readiness.
    """
    app = http_app(
        title=SERVICE,
        routers=ROUTERS,
        deps=deps,
        checks={**readiness(deps), **(checks or {})},
        telemetry=deps.telemetry,
        problem_shape=redacted_detail_shape,
        # Each door answers in its own shape that a body is too large.
        max_body_bytes=sys.maxsize,
        body_timeout=BodyTimeout.from_settings(deps.settings),
        docs=False,
        published=False,
        outer=[
            Middleware(
                Cors,
                pages=deps.settings.pages_at,
                doors=deps.doors,
                trusted=deps.settings.trusted_proxies,
            )
        ],
    )
    local_routes = LocalRoutes(app.routes)
    app.state.documents = Documents(deps, local_routes)
    app.user_middleware += [
        Middleware(Doors, deps=deps, local_routes=local_routes),
        Middleware(InternalOnly, settings=deps.settings),
    ]
    return app


@asynccontextmanager
async def open_tasks(settings: Settings, _: Telemetry) -> AsyncIterator[Sequence[Task]]:
    """What the worker does beside relay and projections: it forgets sessions long over."""
    pool = await _pool(settings, size=1, connect_now=False)
    try:
        forget = partial(all_revoked.delete_expired, pool)
        yield [periodic("revoked sessions", forget, seconds=FORGET_SECONDS)]
    finally:
        await pool.close()


def projections(_: Settings) -> tuple[Projection[GatewayEvent], ...]:
    """The read models of the gateway, for its worker."""
    return (api_key.projection(), account.projection(), session.projection())


async def _pool(settings: Settings, *, size: int, connect_now: bool = True) -> Pool:
    return await open_pool(
        settings.database_url.get_secret_value(),
        role=application_role(SERVICE),
        schema=SERVICE,
        size=size,
        application_name=SERVICE,
        # A key decides its tenant, so whoever looks one up sees them all.
        tenant_scope=SYSTEM,
        connect_now=connect_now,
    )


def _upstream(settings: Settings, service: str) -> AbstractAsyncContextManager[Upstream]:
    return open_upstream(
        settings.origin_of(service),
        connections=settings.upstream_connections,
        breaker=Breaker(failures=settings.breaker_failures, seconds=settings.breaker_seconds),
        deadlines=Deadlines(
            connect=settings.connect_seconds,
            answer=settings.answer_seconds,
            idle=settings.idle_seconds,
        ),
    )


async def _ensure_client_key(settings: Settings, store: EventStore[GatewayEvent]) -> None:
    if settings.scan_client_key is None:
        return
    try:
        await keys.ensure_client_key(
            store,
            tenant=settings.scan_client_key_tenant,
            key=settings.scan_client_key.get_secret_value(),
            name=CLIENT_KEY,
            scopes=settings.scan_client_key_scopes,
        )
    except Refused as refused:
        # The clients in the field matter more than the setting: what was issued stays as it is.
        log.warning("the configured client's entry stays as it was", reason=str(refused))
