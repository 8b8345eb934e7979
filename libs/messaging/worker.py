"""The background half of a service: its relay and the runner of its read models."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Final

from libs.http.health import Check, CheckResult
from libs.messaging.categories import spelled
from libs.messaging.publisher import Publisher
from libs.messaging.relay import Polling as RelayPolling
from libs.messaging.relay import Relay
from libs.messaging.tracing import projected_spans, relay_span
from libs.postgres.doorbell import APPENDED, PROJECTED, open_doorbell
from libs.postgres.pool import SYSTEM, open_pool
from libs.postgres.rls import application_role
from libs.process.lifecycle import Task
from libs.projections.projection import Projection
from libs.projections.runner import Polling, ProjectionRunner
from libs.settings import ServiceSettings
from libs.telemetry.traces import Telemetry

STUCK_SECONDS: Final = 30.0
"""How long a page of the log may be tried or sent again before the service says it is not ready."""
STATEMENT_SECONDS: Final = 20
"""How long one statement of a read model may take."""
DETACHED_AT_ONCE: Final = 2
"""How many read models may follow at checkpoints of their own at a time; others wait for them."""
UNRUNG_SECONDS: Final = 0.02
"""After how long the log is read again though no bell rang: a ring may be lost."""
IDLE_SECONDS: Final = 1.0
"""How often the log is read when no bell rings for long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """What runs beside the API, or in a process of its own."""

    relay: Relay
    projections: ProjectionRunner

    @property
    def tasks(self) -> list[Task]:
        """To be run until stopped; each survives database and broker going away."""
        return [self.relay.run, self.projections.run]

    @property
    def checks(self) -> dict[str, Check]:
        """What readiness asks of them."""
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
    """The worker of a service on pools of its own, in sight of all tenants.

    One connection is the relay's, one for each shard that of the main checkpoint, and one is there
    for the runner, which asks now and then which read models are detached.
    """
    open_ours = partial(
        open_pool,
        settings.database_url.get_secret_value(),
        role=application_role(service),
        schema=service,
        tenant_scope=SYSTEM,
    )
    async with AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        doorbell = await stack.enter_async_context(open_doorbell(dsn, service))
        relaying = await open_ours(
            size=1, application_name=f"{service} relay", statement_timeout=timedelta(minutes=2)
        )
        stack.push_async_callback(relaying.close)
        # A read model and its checkpoint are lost together, and the log still has what they held.
        projecting = await open_ours(
            size=1 + settings.projection_shards * (1 + min(len(projections), DETACHED_AT_ONCE)),
            application_name=f"{service} worker",
            statement_timeout=timedelta(seconds=STATEMENT_SECONDS),
            waits_for_disk=False,
        )
        stack.push_async_callback(projecting.close)
        runner = ProjectionRunner(
            projecting,
            projections,
            service=spelled(service),
            polling=Polling(shortest=UNRUNG_SECONDS, longest=IDLE_SECONDS),
            shards=settings.projection_shards,
            on_applied=[projected_spans(telemetry), lambda *_: doorbell.ring(PROJECTED)],
        )
        relay = Relay(
            relaying,
            partial(
                Publisher.connect,
                settings.kafka_bootstrap_servers,
                service=spelled(service),
                prefix=settings.topic_prefix,
            ),
            polling=RelayPolling(shortest=UNRUNG_SECONDS, longest=IDLE_SECONDS),
            span=relay_span(telemetry),
        )
        stack.callback(doorbell.add_listener(runner.wake, APPENDED))
        stack.callback(doorbell.add_listener(relay.wake, APPENDED))
        yield Worker(relay=relay, projections=runner)


async def check_relay(relay: Relay) -> CheckResult:
    """Whether the relay moves or waits for one that does, and how much is to be sent.

    Other services wait for it; what its own service answers comes from the log.
    """
    progress = relay.progress
    stuck = monotonic() - progress.moved_at
    if stuck >= STUCK_SECONDS:
        reason = progress.last_error or f"{progress.sending} events are under way"
        detail = f"nothing sent for {stuck:.0f} s: {reason}"
        return CheckResult(ok=False, detail=detail, needed=False)
    state = "leads" if progress.leading else "waits"
    if progress.republishing:
        state = f"sends again {progress.republishing}"
    return CheckResult(
        ok=True, detail=progress.last_error or f"{state}, backlog {progress.backlog}"
    )


async def check_projection(runner: ProjectionRunner, model: str) -> CheckResult:
    """Whether the read model goes on, how far it is behind, and what is parked."""
    progress = runner.progress(model)
    if because := runner.left_behind.get(model):
        return CheckResult(ok=False, detail=because)
    state = "" if progress.following else "stands by, "
    alone = "detached, " if runner.is_detached(model) else ""
    detail = f"{state}{alone}lag {progress.lag}, parked {progress.parked.get(model, 0)}"
    if progress.trouble is None:
        return CheckResult(ok=True, detail=detail)
    stuck = monotonic() - progress.troubled_since >= STUCK_SECONDS
    return CheckResult(ok=not stuck and progress.started, detail=f"{detail}; {progress.trouble}")
