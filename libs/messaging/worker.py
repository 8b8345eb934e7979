"""The background half of a service: its relay and the projectors of its read models."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Final

from libs.http.health import Check, CheckResult
from libs.messaging.projection import Projection
from libs.messaging.projector import Projector, Source
from libs.messaging.publisher import Publisher
from libs.messaging.relay import Relay
from libs.messaging.topics import spelled
from libs.messaging.tracing import projected_spans, relay_span
from libs.postgres.doorbell import APPENDED, PROJECTED, open_doorbell
from libs.postgres.pool import SYSTEM, open_pool
from libs.postgres.rls import application_role
from libs.process.lifecycle import Task
from libs.settings import ServiceSettings
from libs.telemetry.traces import Telemetry

SILENT_SECONDS: Final = 15.0
"""How long relay or projector may be interrupted before the service says it is not ready."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """What runs beside the API, or in a process of its own."""

    relay: Relay
    projectors: Sequence[Projector[Any]]

    @property
    def tasks(self) -> list[Task]:
        """To be run until stopped; each survives database and broker going away."""
        return [self.relay.run, *(projector.run for projector in self.projectors)]

    @property
    def checks(self) -> dict[str, Check]:
        """What readiness asks of them."""
        checks: dict[str, Check] = {"relay": partial(check_relay, self.relay)}
        for projector in self.projectors:
            checks[f"projection {projector.name}"] = partial(check_projector, projector)
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

    One connection is the relay's, one each the projectors', one for what comes up.
    """
    open_ours = partial(
        open_pool,
        settings.database_url.get_secret_value(),
        role=application_role(service),
        schema=service,
        tenant_scope=SYSTEM,
        statement_timeout=timedelta(minutes=2),
    )
    async with AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        doorbell = await stack.enter_async_context(open_doorbell(dsn, service))
        spans = projected_spans(telemetry)

        def on_applied(*applied: Any) -> None:
            doorbell.ring(PROJECTED)
            spans(*applied)

        relaying = await open_ours(size=1, application_name=f"{service} relay")
        stack.push_async_callback(relaying.close)
        # A read model and its checkpoint are lost together, and Kafka still has what they held.
        projecting = await open_ours(
            size=len(projections) + 1,
            application_name=f"{service} worker",
            waits_for_disk=False,
        )
        stack.push_async_callback(projecting.close)
        worker = Worker(
            relay=Relay(
                relaying,
                partial(
                    Publisher.connect,
                    settings.kafka_bootstrap_servers,
                    service=spelled(service),
                    prefix=settings.topic_prefix,
                ),
                span=relay_span(telemetry),
            ),
            projectors=[
                Projector(
                    projecting,
                    projection,
                    Source(
                        bootstrap=settings.kafka_bootstrap_servers,
                        prefix=settings.topic_prefix,
                        group=f"{settings.topic_prefix}.{service}",
                    ),
                    on_applied=on_applied,
                )
                for projection in projections
            ],
        )
        stack.callback(doorbell.add_listener(worker.relay.wake, APPENDED))
        yield worker


async def check_relay(relay: Relay) -> CheckResult:
    """Whether the relay leads or waits to lead, and how much is waiting."""
    progress = relay.progress
    silent = monotonic() - progress.alive_at
    state = "leads" if progress.leading else "waits"
    detail = f"{state}, backlog {progress.backlog}"
    return CheckResult(ok=silent < SILENT_SECONDS, detail=progress.last_error or detail)


async def check_projector(projector: Projector[Any]) -> CheckResult:
    """Whether the read model moves, how far it lags, and what is parked."""
    progress = projector.progress
    trouble = progress.broken or (progress.trouble if not progress.joined else None)
    state = "" if progress.lanes else "stands by, "
    detail = f"{state}lag {progress.lag}, parked {progress.parked}"
    return CheckResult(ok=trouble is None and progress.joined, detail=trouble or detail)
