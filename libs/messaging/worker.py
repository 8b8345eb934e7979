"""The background half of a service: its relay and the runner of its read models."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Final

from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

from libs.eventsourcing.log import RecordedEvent
from libs.http.health import Check, CheckResult
from libs.messaging.batch_sender import BatchSpan
from libs.messaging.categories import wire_name
from libs.messaging.publisher import Publisher
from libs.messaging.relay import Polling as RelayPolling
from libs.messaging.relay import Relay
from libs.messaging.wire import Row, traceparents
from libs.postgres.doorbell import APPENDED, PROJECTED, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.process.lifecycle import Task
from libs.projections.follower import OnApplied
from libs.projections.projection import Projection
from libs.projections.runner import Polling, ProjectionRunner
from libs.settings import ServiceSettings
from libs.telemetry.traces import Telemetry, parse

STUCK_SECONDS: Final = 30.0
"""How long a page of the log may be retried before the service is not ready."""
STATEMENT_SECONDS: Final = 20
"""How long one statement of a read model may take."""
DETACHED_AT_ONCE: Final = 2
"""How many read models may follow at checkpoints of their own at a time; others wait."""
FIRST_PAUSE_SECONDS: Final = 0.02
"""The first pause without a ring before the log is read again: a ring may be lost."""
IDLE_SECONDS: Final = 1.0
"""How often the log is read while nothing rings."""
MAX_LINKS: Final = 32
"""The largest number of requests that the span of one page links to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """The background tasks of a service, beside the API or in a process of their own."""

    relay: Relay
    projections: ProjectionRunner

    @property
    def tasks(self) -> list[Task]:
        """The tasks to run until the stop; each survives outages of database and broker."""
        return [self.relay.run, self.projections.run]

    @property
    def checks(self) -> dict[str, Check]:
        """The readiness checks of relay and read models."""
        checks: dict[str, Check] = {"relay": partial(check_relay, self.relay)}
        for model in self.projections.models:
            checks[f"projection {model}"] = partial(check_projection, self.projections, model)
        return checks


@asynccontextmanager
async def open_worker(
    settings: ServiceSettings,
    *,
    service: str,
    projections: Sequence[Projection[Any]],
    telemetry: Telemetry,
) -> AsyncIterator[Worker]:
    """The worker of a service, on pools of its own that see all tenants."""
    dsn = settings.database_url.get_secret_value()
    open_own_pool = partial(
        open_pool, dsn, role=application_role(service), schema=service, tenant_scope=SYSTEM
    )
    async with AsyncExitStack() as stack:
        doorbell = await stack.enter_async_context(open_doorbell(dsn, service))
        relay_pool = await open_own_pool(
            size=1, application_name=f"{service} relay", statement_timeout=timedelta(minutes=2)
        )
        stack.push_async_callback(relay_pool.close)
        # One connection for each shard of the main checkpoint and of the detached models, and one
        # for the runner, which polls for detached models.
        projection_pool = await open_own_pool(
            size=1 + settings.projection_shards * (1 + min(len(projections), DETACHED_AT_ONCE)),
            application_name=f"{service} worker",
            statement_timeout=timedelta(seconds=STATEMENT_SECONDS),
            # A crash loses a read model and its checkpoint together, and the log has the events.
            synchronous_commit=False,
        )
        stack.push_async_callback(projection_pool.close)
        runner = ProjectionRunner(
            projection_pool,
            projections,
            service=wire_name(service),
            polling=Polling(shortest=FIRST_PAUSE_SECONDS, longest=IDLE_SECONDS),
            shards=settings.projection_shards,
            on_applied=[_projection_spans(telemetry), lambda *_: doorbell.ring(PROJECTED)],
        )
        relay = _relay(relay_pool, settings, service, telemetry)
        for listener in (runner.wake, relay.wake):
            stack.callback(doorbell.add_listener(listener, APPENDED))
        yield Worker(relay=relay, projections=runner)


def _relay(pool: Pool, settings: ServiceSettings, service: str, telemetry: Telemetry) -> Relay:
    connect = partial(
        Publisher.connect,
        settings.kafka_bootstrap_servers,
        service=wire_name(service),
        prefix=settings.topic_prefix,
    )
    return Relay(
        pool,
        connect,
        polling=RelayPolling(shortest=FIRST_PAUSE_SECONDS, longest=IDLE_SECONDS),
        span=_relay_span(telemetry),
    )


async def check_relay(relay: Relay) -> CheckResult:
    """Whether this relay or the one that leads makes progress, and how much is to be sent.

    Only other services wait for the relay, so its service stays ready without it.
    """
    progress = relay.progress
    stuck = monotonic() - progress.moved_at
    if stuck >= STUCK_SECONDS:
        reason = progress.last_error or f"{progress.in_flight} events are under way"
        detail = f"nothing sent for {stuck:.0f} s: {reason}"
        return CheckResult(ok=False, detail=detail, critical=False)
    state = "leads" if progress.leading else "waits"
    if progress.republishing:
        state = f"sends again {progress.republishing}"
    return CheckResult(
        ok=True, detail=progress.last_error or f"{state}, backlog {progress.backlog}"
    )


async def check_projection(runner: ProjectionRunner, model: str) -> CheckResult:
    """Whether the read model makes progress, its lag, and how many streams are parked."""
    progress = runner.progress(model)
    if reason := runner.version_mismatches.get(model):
        return CheckResult(ok=False, detail=reason)
    state = "" if progress.following else "stands by, "
    detached = "detached, " if runner.is_detached(model) else ""
    detail = f"{state}{detached}lag {progress.lag}, parked {progress.parked.get(model, 0)}"
    if progress.trouble is None:
        return CheckResult(ok=True, detail=detail)
    stuck = monotonic() - progress.troubled_since >= STUCK_SECONDS
    return CheckResult(ok=not stuck and progress.started, detail=f"{detail}; {progress.trouble}")


def _relay_span(telemetry: Telemetry) -> BatchSpan:
    """Open a span around each page that the relay sends, linked to the requests in it.

    The relay serves many requests with one page, so its span only links to them.
    """

    def span(rows: Sequence[Row]) -> AbstractContextManager[Any]:
        return telemetry.span(
            "relay publish",
            kind=SpanKind.PRODUCER,
            links=traceparents(rows)[:MAX_LINKS],
            attributes={"messaging.batch.message_count": len(rows)},
        )

    return span


def _projection_spans(telemetry: Telemetry) -> OnApplied:
    """Record a span, in its own trace, for each request whose events a commit made visible."""

    def on_applied(
        models: Sequence[str], events: Sequence[RecordedEvent], started_ns: int, ended_ns: int
    ) -> None:
        for traceparent in _traceparents(events):
            context = parse(traceparent)
            if not (context.is_valid and context.trace_flags.sampled):
                continue
            for model in models:
                span = telemetry.tracer.start_span(
                    f"project {model}",
                    context=set_span_in_context(NonRecordingSpan(context)),
                    kind=SpanKind.CONSUMER,
                    links=[Link(context)],
                    attributes={"tillstream.projection": model},
                    start_time=started_ns,
                )
                span.end(ended_ns)

    return on_applied


def _traceparents(events: Sequence[RecordedEvent]) -> list[str]:
    """The distinct trace contexts of `events`, in order."""
    return list(dict.fromkeys(e.metadata.traceparent for e in events if e.metadata.traceparent))
