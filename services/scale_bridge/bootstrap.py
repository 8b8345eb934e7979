"""Builds the service: the API, the worker's tasks, reactions and projections."""

import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

from aiohttp import ClientSession
from fastapi import FastAPI

from contracts.gateway import SESSIONS, SessionRevoked
from contracts.scale_bridge import EVENTS, ScaleBridgeEvent
from libs.clock import utc_now
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.postgres import open_log
from libs.eventsourcing.store import EventStore
from libs.http import app as http
from libs.http import revoked_sessions
from libs.http.auth import TokenVerifier
from libs.http.body_timeout import BodyTimeout
from libs.http.client import open_client
from libs.http.health import Check, CheckResult
from libs.http.revocations import Revocations, following
from libs.http.session_check import SessionCheck, at_gateway
from libs.messaging.reaction import Reaction
from libs.postgres.doorbell import APPENDED, PROJECTED, Doorbell, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.revisions import unapplied
from libs.postgres.rls import application_role
from libs.process.lifecycle import Task
from libs.process.periodic import DoorbellTrigger, periodic
from libs.projections.consistency import Consistency
from libs.projections.projection import Projection
from libs.security.sealing import Seal
from libs.security.tokens import MAX_INTERNAL_LIFETIME
from libs.telemetry.traces import Telemetry
from services.scale_bridge.barcodes import api as barcode
from services.scale_bridge.bridges import api as bridge
from services.scale_bridge.bridges import reactions as enrolment
from services.scale_bridge.bridges.stores import agent_assignments, bridges
from services.scale_bridge.catalogue.api import label, products, revisions
from services.scale_bridge.catalogue.stores.cache import CatalogueCache
from services.scale_bridge.context import ApiContext, Context, Hooks, problem_shape
from services.scale_bridge.devices.api import device, profile
from services.scale_bridge.devices.handlers import device as device_commands
from services.scale_bridge.devices.handlers import verification
from services.scale_bridge.devices.read_models import device as devices
from services.scale_bridge.driver.adapters.driver import open_driver
from services.scale_bridge.monitoring.api import board, twin
from services.scale_bridge.monitoring.api.board_feed import BoardFeed
from services.scale_bridge.monitoring.handlers import ROUND_SECONDS as RETENTION_SECONDS
from services.scale_bridge.monitoring.handlers import Retention
from services.scale_bridge.monitoring.read_models import display_history
from services.scale_bridge.operations import api as operations
from services.scale_bridge.operations import read_models as operation_history
from services.scale_bridge.operations.handlers import operation
from services.scale_bridge.operations.handlers.completion_waiter import CompletionWaiter
from services.scale_bridge.operations.handlers.worker import OperationWorker
from services.scale_bridge.operations.stores.work import Work
from services.scale_bridge.prices import handlers as price
from services.scale_bridge.prices import reactions as shop
from services.scale_bridge.prices.api import prices
from services.scale_bridge.prices.read_models import price_delivery
from services.scale_bridge.schedules.api import auto_update, calendar
from services.scale_bridge.schedules.handlers import recovery, schedule
from services.scale_bridge.schedules.read_models import schedule as schedule_times
from services.scale_bridge.settings import Settings, keys_of
from services.scale_bridge.transfer.handlers.device_task import ExecutionContext
from services.scale_bridge.transfer.stores.breakers import Breakers
from services.scale_bridge.transfer.stores.leases import Leases
from services.scale_bridge.transfer.stores.rate_limits import RateLimits

SERVICE: Final = "scale_bridge"
TITLE: Final = "Scales API"
VERSION: Final = "1.0.0"
"""The title and version in the OpenAPI document (§1.1)."""
LOG_CONNECTIONS: Final = 3
REACTION_CONNECTIONS: Final = 2
MISSING_SECONDS: Final = 15.0
"""How often recent prices are set on scales that missed them."""
REMINDING_SECONDS: Final = 30.0
"""How often reminders are checked; they count days."""
RESTING_SECONDS: Final = 5.0
"""How often schedules and recovery run while no event is projected."""
WORKER_CONNECTIONS: Final = 4
"""Database connections of the operation worker and of the periodic tasks. None is held while a
scale is connected to (R20)."""
ROUTERS: Final = (
    # Before the devices: `/devices/board` is no device.
    board.router,
    profile.router,
    board.shops_router,
    profile.strictness_router,
    twin.router,
    auto_update.router,
    calendar.router,
    operations.fetch_router,
    products.router,
    operations.upload_router,
    operations.router,
    prices.router,
    revisions.router,
    label.router,
    barcode.router,
    device.router,
    bridge.router,
)


@asynccontextmanager
async def open_deps(settings: Settings, telemetry: Telemetry) -> AsyncIterator[ApiContext]:
    """What the routes work with, closed at the end. Raises Unavailable."""
    dsn = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(open_context(settings, size=LOG_CONNECTIONS))
        reading = await _open_reading(settings)
        stack.push_async_callback(reading.close)
        session = await stack.enter_async_context(open_client())
        doorbell = await stack.enter_async_context(open_doorbell(dsn, SERVICE))
        revocations = Revocations(
            partial(revoked_sessions.load, context.pool), doorbell, longest=MAX_INTERNAL_LIFETIME
        )
        consistency = Consistency(
            context.pool,
            [model.name for model in projections(settings)],
            deadline=settings.stale_wait_seconds,
            doorbell=doorbell,
        )
        stack.push_async_callback(consistency.close)
        completions = CompletionWaiter(context.store, doorbell)
        stack.push_async_callback(completions.close)
        yield ApiContext(
            settings=settings,
            context=context,
            completions=completions,
            reading=reading,
            clock=utc_now,
            verifier=_verifier(settings, session, revocations),
            revocations=revocations,
            consistency=consistency,
            telemetry=telemetry,
            doorbell=doorbell,
        )


async def _open_reading(settings: Settings) -> Pool:
    """The pool of queries, in tenant scope."""
    return await open_pool(
        settings.database_url.get_secret_value(),
        role=application_role(SERVICE),
        schema=SERVICE,
        size=settings.pool_size,
        application_name="scale_bridge reading",
    )


def _verifier(
    settings: Settings, session: ClientSession, revocations: Revocations
) -> TokenVerifier:
    return TokenVerifier(
        audience=SERVICE,
        issuer=settings.issuer,
        jwks_url=settings.jwks_url,
        session=session,
        revoked=revocations.is_revoked,
        live=SessionCheck(revocations, at_gateway(session, settings.jwks_url)).is_live,
    )


@asynccontextmanager
async def open_context(settings: Settings, *, size: int = 2) -> AsyncIterator[Context]:
    """What commands work with, on a pool of its own in system scope. Raises Unavailable."""
    dsn = settings.database_url.get_secret_value()
    async with open_doorbell(dsn, SERVICE) as doorbell:
        pool = await open_pool(
            dsn,
            role=application_role(SERVICE),
            schema=SERVICE,
            size=size,
            application_name="scale_bridge log",
            tenant_scope=SYSTEM,
        )
        ring = partial(doorbell.ring, APPENDED)
        try:
            async with open_log(pool, dsn, SERVICE, on_append=ring) as log:
                yield make_context(settings, pool, EventStore[ScaleBridgeEvent](log, Codec(EVENTS)))
        finally:
            await pool.close()


def make_context(settings: Settings, pool: Pool, store: EventStore[ScaleBridgeEvent]) -> Context:
    """A context over a pool in system scope."""
    return Context(
        store=store,
        pool=pool,
        seal=Seal(keys_of(settings.seal_keys)),
        policy=settings.policy,
        catalogues=CatalogueCache(),
        hooks=hooks(),
        work=Work(pool, settings.lease_seconds),
        breakers=Breakers(pool, utc_now, settings.breaker_rules),
        zone=settings.zone,
        clock=utc_now,
        operation_seconds=settings.operation_seconds,
        clear_on_upload=settings.clear_on_upload,
        diagnose=settings.diagnose,
        diagnose_auto=settings.diagnose_auto,
        default_interval=settings.default_interval,
    )


def hooks() -> Hooks:
    """The functions of upper subjects that lower ones call."""
    return Hooks(
        own_device=device_commands.load_of_caller,
        on_registered=schedule.set_default,
        after_fetch=price.reapply,
        pending_fetches=operation.pending_fetches,
        schedule_zone=schedule.zone,
        agent_kinds=agent_assignments.kinds_of,
        bridge_owner=bridges.owner_of,
    )


@asynccontextmanager
async def open_app(
    settings: Settings, telemetry: Telemetry, checks: Mapping[str, Check]
) -> AsyncIterator[FastAPI]:
    """The API with everything it holds open. Raises Unavailable."""
    async with open_deps(settings, telemetry) as deps, following(deps.revocations):
        yield create_app(deps, checks=checks)


def create_app(deps: ApiContext, *, checks: Mapping[str, Check] | None = None) -> FastAPI:
    """The API; `checks` are further checks of its readiness."""
    app = http.create_app(
        title=SERVICE,
        routers=ROUTERS,
        deps=deps,
        checks={
            "database": partial(_check_database, deps.reading),
            "revocations": deps.revocations.check,
            **(checks or {}),
        },
        telemetry=deps.telemetry,
        problem_shape=problem_shape,
        max_body_bytes=deps.settings.max_body_bytes,
        body_timeout=BodyTimeout.from_settings(deps.settings),
        docs=deps.settings.debug,
    )
    app.title, app.version = TITLE, VERSION
    app.state.board_feed = BoardFeed(deps)
    return app


@asynccontextmanager
async def open_tasks(settings: Settings, _: Telemetry) -> AsyncIterator[Sequence[Task]]:
    """The worker's tasks besides relay, projections and reactions.

    These are the operation worker, the periodic tasks, and the feed of revoked sessions.
    """
    from libs.messaging.revocation_feed import open_revocation_feed

    async with (
        open_revocation_feed(
            settings,
            SERVICE,
            category=SESSIONS,
            event=SessionRevoked,
            longest=MAX_INTERNAL_LIFETIME,
        ),
        open_worker(settings) as worker,
    ):
        yield [worker.run, *periodic_tasks(settings, worker.context, worker.doorbell)]


def periodic_tasks(
    settings: Settings, context: Context, doorbell: Doorbell | None = None
) -> Sequence[Task]:
    """The periodic tasks of a worker. Several workers may run them.

    With a doorbell, schedules and recovery wait until a read model was written to, or until the
    time at which something is due.
    """
    every = settings.round_seconds
    trigger = (
        DoorbellTrigger(doorbell=doorbell, topic=PROJECTED, longest=RESTING_SECONDS)
        if doorbell
        else None
    )

    async def catch_up() -> None:
        await price.catch_up(context)

    async def remind() -> None:
        await verification.announce_due(context, context.clock())

    async def recover() -> float | None:
        return await recovery.run_once(context, settings.recovery_rules, context.clock())

    tasks = [
        periodic("schedules", _run_schedules(settings, context), seconds=every, trigger=trigger),
        periodic("reminders", remind, seconds=max(every, REMINDING_SECONDS)),
        periodic("prices", catch_up, seconds=max(every, MISSING_SECONDS)),
    ]
    if settings.shown_days:
        retained_for = timedelta(days=settings.shown_days)
        retention = Retention(pool=context.pool, clock=context.clock, retained_for=retained_for)
        tasks.append(periodic("forgetting", retention.run_once, seconds=RETENTION_SECONDS))
    if settings.healing:
        tasks.append(periodic("healing", recover, seconds=every, trigger=trigger))
    return tasks


def _run_schedules(settings: Settings, context: Context) -> Callable[[], Awaitable[float | None]]:
    """Begins and records runs; returns the seconds until the next is due."""

    async def run_schedules() -> float | None:
        if settings.scheduler_on:
            await schedule.run_due(context, context.clock())
        await schedule.record_ended(context, context.clock())
        return await schedule.seconds_until_due(context, context.clock())

    return run_schedules


@asynccontextmanager
async def open_reactions(
    settings: Settings, _: Telemetry
) -> AsyncIterator[Sequence[Reaction[Any]]]:
    """The reactions of the worker, on a context of their own. Raises Unavailable."""
    async with open_context(settings, size=REACTION_CONNECTIONS) as context:
        yield reactions(settings, context)


def reactions(settings: Settings, context: Context) -> Sequence[Reaction[Any]]:
    """The reactions to prices of the shop and to agents enrolled at the gateway."""
    return (
        shop.prices(context, currency=settings.currency),
        enrolment.enrolments(),
    )


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[OperationWorker]:
    """The operation worker, not yet running. Raises Unavailable."""
    async with (
        open_doorbell(settings.database_url.get_secret_value(), SERVICE) as doorbell,
        open_context(settings, size=WORKER_CONNECTIONS) as context,
        open_driver(connections=settings.lines, limits=settings.limits) as driver,
    ):
        execution = ExecutionContext(
            driver=driver,
            leases=Leases(context.pool, settings.lease_seconds),
            breakers=context.breakers,
            rate_limits=RateLimits(context.pool, settings.connection_seconds),
            policy=context.policy,
            holder=f"{socket.gethostname()} {os.getpid()} {random.getrandbits(48):012x}",
            chance=random.random,
            wait_seconds=settings.busy_seconds,
            read_back=settings.read_back,
        )
        yield OperationWorker(
            context=context,
            execution=execution,
            doorbell=doorbell,
            takes=settings.embedded,
            every=settings.poll_seconds,
            revisions=settings.revisions,
        )


def projections(_: Settings) -> Sequence[Projection[ScaleBridgeEvent]]:
    """The projections of the worker."""
    return (
        devices.projection(),
        operation_history.projection(),
        schedule_times.projection(),
        display_history.projection(),
        price_delivery.projection(),
    )


async def _check_database(pool: Pool) -> CheckResult:
    missing = await unapplied(SERVICE, pool)
    return CheckResult(not missing, f"{len(missing)} migrations missing" if missing else "")
