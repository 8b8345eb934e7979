"""The live dashboards of a process: each query is read once for all its viewers.

One task waits for the doorbell of the read models. When their positions have moved, it reads the
queries that have viewers again.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import msgspec
import structlog
from prometheus_client import Gauge

from libs.errors import Unavailable
from libs.http.hub import Hub
from libs.postgres.doorbell import PROJECTED
from libs.postgres.pool import tenant_connection
from services.ingest.context import Deps
from services.ingest.dashboard.api.overview import Overview, present, read_overview
from services.ingest.dashboard.api.subscription import Subscription
from services.ingest.scans.api.query_params import build_filter
from services.ingest.scans.api.responses import Filters, State
from services.ingest.scans.domain.filter import ScanFilter

LINGER_SECONDS: Final = 120.0
"""How long a subscription without viewers waits for clients that reconnect."""
RETRY_SECONDS: Final = 10
AGAIN_SECONDS: Final = 1.0
"""The pause after a failed read, unless the read models are written to before."""

STREAMS: Final = Gauge("ingest_streams", "Dashboards that are being watched")

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Live:
    """The subscriptions of this process. It reads the read models only while there are viewers."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._name = secrets.token_hex(4)
        self._created = 0
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._following: asyncio.Task[None] | None = None
        settings = deps.settings
        self._hub = Hub(
            deps.doorbell,
            PROJECTED,
            pause=settings.stream_poll_seconds,
            idle=settings.stream_idle_seconds,
        )

    @asynccontextmanager
    async def subscribe(self, tenant: str, filters: Filters) -> AsyncIterator[Subscription]:
        """A subscription that is kept up to date. Raises BadDate, Unavailable at `max_streams`."""
        if self.viewers >= self._deps.settings.max_streams:
            raise Unavailable("place to watch", retry_after_seconds=RETRY_SECONDS)
        subscription = self._subscription(tenant, filters)
        subscription.viewers += 1
        STREAMS.inc()
        try:
            async with subscription.lock:
                if subscription.positions is None:
                    await self._refresh(subscription, await self._deps.positions())
            if self._following is None:
                self._following = asyncio.create_task(self._follow())
            yield subscription
        finally:
            STREAMS.dec()
            self._unsubscribe(subscription)

    @property
    def viewers(self) -> int:
        """The number of viewers."""
        return sum(subscription.viewers for subscription in self._subscriptions.values())

    def _subscription(self, tenant: str, filters: Filters) -> Subscription:
        oldest = asyncio.get_running_loop().time() - LINGER_SECONDS
        for key, subscription in list(self._subscriptions.items()):
            if not subscription.viewers and subscription.left_at < oldest:
                del self._subscriptions[key]
        key = tenant, _encode(filters).decode()
        if key not in self._subscriptions:
            self._created += 1
            self._subscriptions[key] = Subscription(
                f"{self._name}-{self._created}", tenant, filters
            )
        return self._subscriptions[key]

    def _unsubscribe(self, subscription: Subscription) -> None:
        subscription.viewers -= 1
        if subscription.viewers:
            return
        subscription.left_at = asyncio.get_running_loop().time()
        subscription.positions = None
        if self._following is not None and not self._active:
            self._following.cancel()
            self._following = None

    @property
    def _active(self) -> list[Subscription]:
        return [
            subscription for subscription in self._subscriptions.values() if subscription.viewers
        ]

    async def _follow(self) -> None:
        """Keep the active subscriptions up to date; survives failures of the database."""
        time, every = asyncio.get_running_loop().time, self._deps.settings.stream_heartbeat_seconds
        # The first subscription was read before this task began; it is read again at once.
        known, beat_at, failed = -1, time() + every, False
        while True:
            longest = max(0.0, beat_at - time())
            known = await self._hub.wait(known, min(longest, AGAIN_SECONDS) if failed else longest)
            began = time()
            beating = began >= beat_at
            try:
                await self._refresh_all(beating=beating)
                failed = False
            except Exception as error:  # noqa: BLE001 -- viewers wait until reading works again
                failed = True
                log.warning("cannot refresh live dashboards", error=type(error).__name__)
            if beating:
                beat_at = began + every
            # At most half of the time is spent reading.
            await asyncio.sleep(time() - began)

    async def _refresh_all(self, *, beating: bool) -> None:
        positions = await self._deps.positions()
        for subscription in self._active:
            async with subscription.lock:
                if subscription.positions is None:
                    # No viewer is left, or the first read is about to come.
                    continue
                if subscription.positions != positions:
                    await self._refresh(subscription, positions)
                elif beating:
                    await self._beat(subscription)

    async def _beat(self, subscription: Subscription) -> None:
        """Publish what time alone changes: who is online, and which day it is."""
        now = self._deps.clock()
        if (
            subscription.overview is None
            or self._filter(subscription, now) != subscription.scan_filter
        ):
            await self._refresh(subscription, subscription.positions)
        else:
            subscription.publish(
                self._present(subscription, subscription.overview, now), reset=False
            )

    async def _refresh(self, subscription: Subscription, positions: object) -> None:
        """Read the overview and publish it. It contains at least what `positions` name."""
        now = self._deps.clock()
        scan_filter = self._filter(subscription, now)
        async with tenant_connection(self._deps.reading, subscription.tenant) as connection:
            overview = await read_overview(
                connection, scan_filter, feed_length=self._deps.settings.feed_length
            )
        reset = scan_filter != subscription.scan_filter
        subscription.scan_filter, subscription.overview = scan_filter, overview
        subscription.publish(self._present(subscription, overview, now), reset=reset)
        subscription.positions = positions

    def _filter(self, subscription: Subscription, now: datetime) -> ScanFilter:
        return build_filter(subscription.tenant, subscription.filters, self._deps.settings, now=now)

    def _present(self, subscription: Subscription, overview: Overview, now: datetime) -> State:
        return present(
            overview, subscription.filters, self._deps.settings, now=now, generated_at=now
        )
