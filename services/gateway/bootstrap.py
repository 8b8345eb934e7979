"""Build the gateway and everything it holds."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from fastapi import APIRouter, FastAPI
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
from libs.http.revocations import MARGIN, Revocations, following
from libs.http.session_check import SessionCheck
from libs.http.shapes import REDACTED_DETAIL
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
from services.gateway.administration.api import own_password
from services.gateway.api_keys import api as api_keys
from services.gateway.api_keys import handlers as keys
from services.gateway.api_keys import read_models as api_key
from services.gateway.api_keys.stores import key_uses
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.bot import api as bot_api
from services.gateway.context import Deps
from services.gateway.device_grants.api import approval as device_approval
from services.gateway.device_grants.api import oauth
from services.gateway.doors.api import system
from services.gateway.doors.api.cors import Cors
from services.gateway.doors.api.local_routes import LocalRoutes
from services.gateway.doors.domain.doors import DOORS, with_hosts
from services.gateway.doors.stores import Limits
from services.gateway.proxy.adapters.breaker import CircuitBreaker
from services.gateway.proxy.adapters.internal_tokens import InternalTokenIssuer
from services.gateway.proxy.adapters.upstream import Deadlines, Upstream, open_upstream
from services.gateway.proxy.api import docs
from services.gateway.proxy.api.documents import Documents
from services.gateway.proxy.api.door import Doors
from services.gateway.proxy.api.internal_only import InternalOnly
from services.gateway.proxy.api.readiness import readiness
from services.gateway.realms import api as shared_auth
from services.gateway.realms.crm.api import health as crm_health
from services.gateway.realms.crm.api import login as crm_login
from services.gateway.realms.crm.api import users as crm_users
from services.gateway.realms.kiosk.api import device as kiosk_device
from services.gateway.realms.kiosk.api import login as kiosk_login
from services.gateway.realms.kiosk.api import setup as kiosk_setup
from services.gateway.realms.kiosk.api import users as kiosk_users
from services.gateway.realms.platform import api as platform_login
from services.gateway.realms.scales import api as scales_login
from services.gateway.realms.shop.api import current_user as shop_current_user
from services.gateway.realms.shop.api import login as shop_login
from services.gateway.realms.shop.api import memberships as shop_memberships
from services.gateway.realms.shop.api import users as shop_users
from services.gateway.sessions import read_models as session
from services.gateway.sessions.adapters.access_tokens import AUDIENCE, AccessTokens
from services.gateway.sessions.api import session_check, sessions
from services.gateway.sessions.handlers import session as session_handlers
from services.gateway.sessions.stores import revoked as revoked_sessions
from services.gateway.settings import Settings, seal_keys
from services.gateway.telegram.adapters import Bot, open_bot, webhook_secret
from services.gateway.telegram.api import one_time_code
from services.gateway.telegram.handlers.one_time_code import CodeContext, owners
from services.gateway.telegram.stores.codes import CodeStore
from services.gateway.telegram.stores.links import TelegramLinks

SERVICE: Final = "gateway"
CLIENT_KEY: Final = "scan clients"
FORGET_SECONDS: Final = 3600.0
ROUTERS: Final[tuple[APIRouter, ...]] = (
    crm_login.router,
    scales_login.router,
    kiosk_login.router,
    shop_login.router,
    system.router,
    docs.router,
    one_time_code.router,
    shop_current_user.router,
    shop_memberships.router,
    shop_users.router,
    bot_api.router,
    crm_health.router,
    oauth.router,
    device_approval.router,
    platform_login.router,
    api_keys.router,
    sessions.router,
    session_check.router,
    own_password.router,
    shared_auth.router,
    kiosk_setup.router,
    kiosk_device.router,
    kiosk_users.router,
    crm_users.router,
)
"""The routes that the gateway answers itself. The first that matches counts; the most frequent are
first."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_deps(settings: Settings, telemetry: Telemetry | None = None) -> AsyncIterator[Deps]:
    """The dependencies of the gateway, closed at exit. Issues the configured API key.

    Sets up telemetry if none is given. Raises Unavailable or LogUnavailable without the database.
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
    """One client per service behind a door, by the service's name."""
    async with AsyncExitStack() as stack:
        yield {
            service: await stack.enter_async_context(_upstream(settings, service))
            for service in {door.service for door in DOORS if door.service}
        }


@asynccontextmanager
async def open_telegram(settings: Settings) -> AsyncIterator[Bot | None]:
    """The Telegram bot; None without a token."""
    if settings.bot_token is None:
        yield None
        return
    async with open_bot(settings.telegram_url, settings.bot_token) as bot:
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
    """The context of routes and commands. Without a `doorbell` other processes are not notified."""
    if settings.profile == "test":
        log.warning("profile test: no rate limits, and a phone whose code everybody knows")
    doorbell = doorbell or Doorbell(settings.database_url.get_secret_value(), SERVICE)
    revocations = make_revocations(settings, pool, doorbell)
    identity = make_identity(settings, pool, store, revocations, doorbell)
    signing_keys = KeyRing.from_pem(settings.signing_key.get_secret_value())
    read_models = [model.name for model in projections(settings)]
    return Deps(
        settings=settings,
        pool=pool,
        store=store,
        consistency=Consistency(pool, read_models, doorbell=doorbell),
        upstreams=upstreams,
        signing_keys=signing_keys,
        revocations=revocations,
        verifier=_verifier(settings, signing_keys, identity, revocations),
        identity=identity,
        code_context=make_code_context(settings, identity, bot),
        webhook_secret=webhook_secret(settings.bot_token) if settings.bot_token else None,
        telemetry=telemetry,
        doors=with_hosts(settings.doors_by_host()),
        key_uses=key_uses.KeyUses(pool),
        keys=_known_keys(settings, pool),
        internal_tokens=_internal_tokens(settings, signing_keys),
        access_tokens=_access_tokens(settings, signing_keys),
        limits=Limits(settings.rate_limits, storage=settings.rate_limit_storage_url),
    )


def make_revocations(settings: Settings, pool: Pool, doorbell: Doorbell) -> Revocations:
    """The cache of revoked sessions. An entry stays as long as tokens of its session may live."""
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
    """The context of accounts and sessions. The caller closes its `passwords`."""

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
    """The context of one-time codes and the bot. Codes are shown in `demo` and `test` only."""
    # The oldest key, as for digests: a new key in front does not invalidate codes in use.
    key = derive_key(seal_keys(settings.seal_keys)[-1], "one-time code")
    return CodeContext(
        codes=CodeStore(identity.pool, seal=identity.seal, key=key),
        links=TelegramLinks(identity.pool, seal=identity.seal),
        owner_of_phone=owners(identity),
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
        bot_api.webhook_registered(deps),
        following(deps.revocations),
    ):
        yield create_app(deps, checks=checks)


def create_app(deps: Deps, *, checks: Mapping[str, Check] | None = None) -> FastAPI:
    """The API: CORS outside, then the doors, then local routes. `checks` add to readiness."""
    app = http_app(
        title=SERVICE,
        routers=ROUTERS,
        deps=deps,
        checks={**readiness(deps), **(checks or {})},
        telemetry=deps.telemetry,
        problem_shape=REDACTED_DETAIL,
        # Each door refuses large bodies in its own shape.
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
    """The worker's periodic tasks: deletes revoked sessions whose tokens have all expired."""
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
        # A key determines its tenant, so lookups read all tenants.
        tenant_scope=SYSTEM,
        connect_now=connect_now,
    )


def _verifier(
    settings: Settings, signing_keys: KeyRing, identity: Identity, revocations: Revocations
) -> TokenVerifier:
    return TokenVerifier(
        audience=AUDIENCE,
        issuer=settings.token_issuer,
        keys=signing_keys.public,
        revoked=revocations.is_revoked,
        live=SessionCheck(revocations, partial(session_handlers.is_live, identity)).is_live,
        typ=ACCESS,
    )


def _internal_tokens(settings: Settings, signing_keys: KeyRing) -> InternalTokenIssuer:
    lifetime = timedelta(seconds=settings.token_seconds)
    return InternalTokenIssuer(
        signing_keys, issuer=settings.issuer, lifetime=lifetime, clock=utc_now
    )


def _access_tokens(settings: Settings, signing_keys: KeyRing) -> AccessTokens:
    issuer, lifetimes = settings.token_issuer, settings.access_lifetimes
    return AccessTokens(signing_keys, issuer=issuer, lifetimes=lifetimes, clock=utc_now)


def _known_keys(settings: Settings, pool: Pool) -> KnownKeys:
    fresh, stale = settings.key_fresh_seconds, settings.key_stale_seconds
    return KnownKeys(partial(api_key.caller_of, pool), fresh=fresh, stale=stale)


def _upstream(settings: Settings, service: str) -> AbstractAsyncContextManager[Upstream]:
    return open_upstream(
        settings.origin_of(service),
        connections=settings.upstream_connections,
        breaker=CircuitBreaker(
            failures=settings.breaker_failures, seconds=settings.breaker_seconds
        ),
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
        # Clients in the field use the issued key: it stays as it is, whatever the setting says.
        log.warning("the configured client's entry stays as it was", reason=str(refused))
