"""Reactors: each runs one reaction, its subscription and the worker of its inbox."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Generic, TypeVar

from libs.http.health import CheckResult
from libs.messaging.batch_consumer import ConsumerConfig
from libs.messaging.categories import wire_name
from libs.messaging.foreign_subscription import ForeignSubscription
from libs.messaging.inbox_worker import WARN_SECONDS, InboxWorker
from libs.messaging.reaction import Reaction, is_own
from libs.postgres.doorbell import PROJECTED, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.settings import ServiceSettings

Event = TypeVar("Event")

OVERDUE_SECONDS: Final = 600.0
"""How long an unblocked message may wait before its service is not ready."""
CONNECTIONS: Final = 1
"""Connections of each reaction; all share one more, so that no reaction blocks another."""


class Reactor(Generic[Event]):
    """Without a `config` nothing is read from Kafka: the inbox is fed from the service's own log.

    Any number of reactors may run at once. The pool must see all tenants.
    """

    def __init__(
        self,
        pool: Pool,
        reaction: Reaction[Event],
        config: ConsumerConfig | None,
    ) -> None:
        self.name = reaction.name
        self.worker = InboxWorker(pool, reaction)
        self.subscription = (
            ForeignSubscription(pool, reaction, config, on_stored=self.worker.wake)
            if config is not None
            else None
        )

    def wake(self) -> None:
        """Look for new messages at once."""
        self.worker.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Read and react until `stop` is set; survives outages of database and broker."""
        parts = [self.worker.run(stop)]
        if self.subscription is not None:
            parts.append(self.subscription.run(stop))
        await asyncio.gather(*parts)

    async def check(self) -> CheckResult:
        """For readiness: gaps, lasting errors, overdue messages; otherwise lag and backlog."""
        oldest = self.worker.backlog.oldest_seconds
        fault = self._subscription_fault() or self.worker.trouble.lasting()
        if fault is None and oldest > OVERDUE_SECONDS:
            fault = f"a message has waited for {oldest:.0f} s, see `inbox list`"
        if fault is None and (outage := self._broker_fault()):
            return CheckResult(ok=False, detail=outage, critical=False)
        return CheckResult(ok=fault is None, detail=fault or self._figures())

    def _broker_fault(self) -> str | None:
        """Why facts of other services are late, if they are; no request waits for them."""
        if self.subscription is None:
            return None
        state = self.subscription.state
        return state.broker.lasting() or (None if state.joined else "is joining")

    def _subscription_fault(self) -> str | None:
        """An error of the subscription that does not end when Kafka is back."""
        if self.subscription is None:
            return None
        state = self.subscription.state
        for at, gap in sorted(state.gaps.items()):
            return (
                f"{at.topic} partition {at.partition}: {gap.message}; find out what is missing, "
                f"then `inbox skip-gap {self.name} --reason …`"
            )
        return state.trouble.lasting()

    def _figures(self) -> str:
        backlog, subscription = self.worker.backlog, self.subscription
        lag = f"lag {subscription.state.lag}, " if subscription is not None else ""
        oldest = backlog.oldest_seconds
        late = f", oldest waits {oldest:.0f} s" if oldest > WARN_SECONDS else ""
        return f"{lag}parked {backlog.parked}{late}"


@asynccontextmanager
async def open_reactors(
    settings: ServiceSettings, *, service: str, reactions: Sequence[Reaction[Any]]
) -> AsyncIterator[Sequence[Reactor[Any]]]:
    """The reactors of a service's reactions, on a pool of their own. Raises Unavailable."""
    if not reactions:
        yield ()
        return
    config = ConsumerConfig(
        bootstrap=settings.kafka_bootstrap_servers,
        prefix=settings.topic_prefix,
        group=f"{settings.topic_prefix}.{service}",
    )
    dsn = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            dsn,
            role=application_role(service),
            schema=service,
            size=1 + CONNECTIONS * len(reactions),
            application_name=f"{service} reactions",
            tenant_scope=SYSTEM,
        )
        stack.push_async_callback(pool.close)
        doorbell = await stack.enter_async_context(open_doorbell(dsn, service))
        reactors: list[Reactor[Any]] = []
        for reaction in reactions:
            own = is_own(wire_name(service), reaction)
            reactor: Reactor[Any] = Reactor(pool, reaction, None if own else config)
            if own:
                # The runner of the read models fills the inbox.
                stack.callback(doorbell.add_listener(reactor.wake, PROJECTED))
            reactors.append(reactor)
        yield reactors
