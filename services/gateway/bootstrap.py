"""What the gateway is made of: the only place that constructs."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import structlog
from fastapi import FastAPI

from contracts.gateway import EVENTS, GatewayEvent
from libs.http.health import Check
from libs.http.revocations import following
from libs.http.shapes import REDACTED_DETAIL
from libs.process.context import QueryContext, extended
from libs.process.service import Connections, Manners, Service, make_app, open_service_context
from libs.security.tokens import KeyRing
from libs.telemetry.traces import Telemetry
from services.gateway.accounts.handlers.identity import open_identity
from services.gateway.accounts.read_models import account
from services.gateway.administration.api import own_password
from services.gateway.api_keys import api as api_keys
from services.gateway.api_keys import read_models as api_key
from services.gateway.api_keys.handlers import ensure_configured_key
from services.gateway.api_keys.stores.key_uses import KeyUses
from services.gateway.api_keys.stores.known_keys import KnownKeys
from services.gateway.bot import api as bot_api
from services.gateway.bot.notifications import reactions as notifications
from services.gateway.bot.notifications.stores import TABLE as MESSAGES
from services.gateway.context import Deps
from services.gateway.device_grants.api import approval, oauth
from services.gateway.doors.api import system
from services.gateway.doors.domain.doors import with_hosts
from services.gateway.doors.stores import Limits
from services.gateway.proxy.adapters.internal_tokens import internal_tokens
from services.gateway.proxy.adapters.upstream import open_upstreams
from services.gateway.proxy.api import docs
from services.gateway.proxy.api.door import add_doors
from services.gateway.proxy.api.readiness import readiness
from services.gateway.realms import api as realms
from services.gateway.sessions import read_models as session
from services.gateway.sessions.adapters.access_tokens import access_tokens, make_verifier
from services.gateway.sessions.api import session_check, sessions
from services.gateway.sessions.handlers.session import is_live
from services.gateway.sessions.stores import revoked
from services.gateway.settings import Settings
from services.gateway.telegram.adapters import open_configured_bot
from services.gateway.telegram.api import one_time_code
from services.gateway.telegram.handlers.one_time_code import make_code_context

ROUTERS: Final = (
    *realms.routers(),
    system.router,
    docs.router,
    one_time_code.router,
    bot_api.router,
    oauth.router,
    approval.router,
    api_keys.router,
    sessions.router,
    session_check.router,
    own_password.router,
)
"""The routes that the gateway answers itself."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_deps(frame: QueryContext[Settings, GatewayEvent], _: str) -> AsyncIterator[Deps]:
    """What routes and commands receive; issues the configured API key. Raises LogUnavailable."""
    settings, pool = frame.settings, frame.system
    if settings.profile == "test":
        log.warning("profile test: no rate limits, and a phone whose code everybody knows")
    await ensure_configured_key(settings, frame.store)
    keys = KeyRing.from_pem(settings.signing_key.get_secret_value())
    fresh, stale = settings.key_fresh_seconds, settings.key_stale_seconds
    revocations = revoked.make_revocations(settings, pool, frame.doorbell)
    on_revoked = revoked.announcer(revocations, pool, frame.doorbell)
    async with AsyncExitStack() as stack:
        upstreams = await stack.enter_async_context(open_upstreams(settings))
        bot = await stack.enter_async_context(open_configured_bot(settings))
        opened = open_identity(settings, frame.store, pool, on_revoked)
        identity = await stack.enter_async_context(opened)
        key_uses = KeyUses(pool)
        stack.push_async_callback(key_uses.close)
        yield extended(
            Deps,
            frame,
            verifier=make_verifier(settings, keys, revocations, partial(is_live, identity)),
            revocations=revocations,
            doors=with_hosts(settings.doors_by_host()),
            keys=KnownKeys(partial(api_key.caller_of, pool), fresh=fresh, stale=stale),
            key_uses=key_uses,
            internal_tokens=internal_tokens(settings, keys),
            access_tokens=access_tokens(settings, keys),
            limits=Limits(settings.rate_limits, storage=settings.rate_limit_storage_url),
            upstreams=upstreams,
            signing_keys=keys,
            identity=identity,
            code_context=make_code_context(settings, identity, bot),
        )


def create_app(deps: Deps, checks: Mapping[str, Check] | None = None) -> FastAPI:
    """The API. `checks` add to readiness."""
    app = make_app(SERVICE, deps, {**readiness(deps), **(checks or {})})
    add_doors(app, deps)
    return app


@asynccontextmanager
async def open_app(
    settings: Settings, telemetry: Telemetry, checks: Mapping[str, Check]
) -> AsyncIterator[FastAPI]:
    """The API, ready to be served, with everything it holds open. Raises Unavailable."""
    async with (
        open_service_context(SERVICE, settings, telemetry) as deps,
        bot_api.webhook_registered(deps),
        following(deps.revocations),
    ):
        yield create_app(deps, checks)


SERVICE: Final = Service(
    name="gateway",
    settings=Settings,
    events=EVENTS,
    projections=lambda _: (api_key.projection(), account.projection(), session.projection()),
    routers=ROUTERS,
    # Each door refuses large bodies in its own shape.
    manners=lambda _: Manners(shape=REDACTED_DETAIL, max_body_bytes=sys.maxsize, docs=False),
    open_verifier=open_deps,
    all_tenants=True,
    published=False,
    open_app=open_app,
    reactions=(notifications.notifications,),
    tasks=(notifications.message_sender,),
    jobs=(revoked.expiry,),
    job_tables=(MESSAGES,),
    connections=Connections(tasks=1),
)
