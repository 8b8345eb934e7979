"""One reaction: the feed of its inbox, the worker of its inbox, and the readiness of both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from libs.http.health import CheckResult
from libs.messaging import inbox
from libs.messaging.batch_consumer import ConsumerConfig
from libs.messaging.categories import spelled
from libs.messaging.foreign_subscription import ForeignSubscription
from libs.messaging.inbox_worker import WARN_SECONDS, InboxWorker
from libs.messaging.reaction import Reaction, is_own
from libs.postgres.doorbell import PROJECTED, open_doorbell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.settings import ServiceSettings

Event = TypeVar("Event")

OVERDUE_SECONDS: Final = 600.0
"""How long a message may wait that nothing holds up before its service is not ready."""
CONNECTIONS: Final = 1
"""Of each reaction; one more is there for all, so that none holds up another."""


class Reactor(Generic[Event]):
    """Without a `config` nothing is read from Kafka: the inbox is fed from the service's own log.

    Any number of them may work at once. The pool must see all tenants.
    """

    def __init__(
        self,
        pool: Pool,
        reaction: Reaction[Event],
        config: ConsumerConfig | None,
        *,
        lease: timedelta = inbox.LEASE,
    ) -> None:
        self.name = reaction.name
        self.worker = InboxWorker(pool, reaction, lease=lease)
        self.subscription = (
            ForeignSubscription(pool, reaction, config, on_stored=self.worker.wake)
            if config is not None
            else None
        )

    def wake(self) -> None:
        """Messages may have come: work them off at once."""
        self.worker.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Read and react until `stop` is set; survives database and broker going away."""
        parts = [self.worker.run(stop)]
        if self.subscription is not None:
            parts.append(self.subscription.run(stop))
        await asyncio.gather(*parts)

    async def check(self) -> CheckResult:
        """For readiness: gaps, what has failed for too long, what waits; else the figures."""
        waiting = self.worker.backlog.oldest_seconds
        wrong = self._reading() or self.worker.trouble.lasting()
        if wrong is None and waiting > OVERDUE_SECONDS:
            wrong = f"a message has waited for {waiting:.0f} s, see `inbox list`"
        if wrong is None and (late := self._waiting_for_kafka()):
            return CheckResult(ok=False, detail=late, critical=False)
        return CheckResult(ok=wrong is None, detail=wrong or self._figures())

    def _waiting_for_kafka(self) -> str | None:
        """Why foreign facts come late, if they do; what is answered does not wait for them."""
        if self.subscription is None:
            return None
        progress = self.subscription.progress
        return progress.broker.lasting() or (None if progress.joined else "is joining")

    def _reading(self) -> str | None:
        """What is wrong with the subscription that does not end when Kafka is back."""
        if self.subscription is None:
            return None
        progress = self.subscription.progress
        for at, gap in sorted(progress.gaps.items()):
            return (
                f"{at.topic} partition {at.partition}: {gap.message}; find out what is missing, "
                f"then `inbox skip-gap {self.name} --reason …`"
            )
        return progress.trouble.lasting()

    def _figures(self) -> str:
        backlog, progress = self.worker.backlog, getattr(self.subscription, "progress", None)
        lag = f"lag {progress.lag}, " if progress is not None else ""
        late = backlog.oldest_seconds
        waits = f", oldest waits {late:.0f} s" if late > WARN_SECONDS else ""
        return f"{lag}parked {backlog.parked}{waits}"


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
            own = is_own(spelled(service), reaction)
            reactor: Reactor[Any] = Reactor(pool, reaction, None if own else config)
            if own:
                # The runner of the read models fills its inbox.
                stack.callback(doorbell.add_listener(reactor.wake, PROJECTED))
            reactors.append(reactor)
        yield reactors
