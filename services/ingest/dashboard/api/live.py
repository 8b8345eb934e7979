"""Dashboards that are being watched: each question is looked up once for all who ask it.

One task asks where the read models stand when they were written to, and looks again at whatever is
watched if they moved.
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
from services.ingest.scans.api.answers import Filters, State
from services.ingest.scans.api.query_params import build_filter
from services.ingest.scans.domain.filter import ScanFilter

LINGER_SECONDS: Final = 120.0
"""How long a subscription without viewers is kept for clients that reconnect."""
RETRY_SECONDS: Final = 10
AGAIN_SECONDS: Final = 1.0
"""How long after a failure to look it is tried again, unless read models are written to before."""

WATCHING: Final = Gauge("ingest_streams", "Dashboards that are being watched")

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Live:
    """The subscriptions of this process. Read models are read only while there are viewers."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._name = secrets.token_hex(4)
        self._made = 0
        self._watches: dict[tuple[str, str], Subscription] = {}
        self._following: asyncio.Task[None] | None = None
        settings = deps.settings
        self._hub = Hub(
            deps.doorbell,
            PROJECTED,
            pause=settings.stream_poll_seconds,
            idle=settings.stream_idle_seconds,
        )

    @asynccontextmanager
    async def watching(self, tenant: str, filters: Filters) -> AsyncIterator[Subscription]:
        """A watch that is kept up to date. Raises BadDate, Unavailable if too many watch."""
        if self.viewers >= self._deps.settings.max_streams:
            raise Unavailable("place to watch", retry_after_seconds=RETRY_SECONDS)
        watch = self._watch(tenant, filters)
        watch.viewers += 1
        WATCHING.inc()
        try:
            async with watch.looked_up:
                if watch.positions is None:
                    await self._refresh(watch, await self._deps.positions())
            if self._following is None:
                self._following = asyncio.create_task(self._follow())
            yield watch
        finally:
            WATCHING.dec()
            self._leave(watch)

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(watch.viewers for watch in self._watches.values())

    def _watch(self, tenant: str, filters: Filters) -> Subscription:
        oldest = asyncio.get_running_loop().time() - LINGER_SECONDS
        for key, watch in list(self._watches.items()):
            if not watch.viewers and watch.left_at < oldest:
                del self._watches[key]
        key = tenant, _encode(filters).decode()
        if key not in self._watches:
            self._made += 1
            self._watches[key] = Subscription(f"{self._name}-{self._made}", tenant, filters)
        return self._watches[key]

    def _leave(self, watch: Subscription) -> None:
        watch.viewers -= 1
        if watch.viewers:
            return
        watch.left_at = asyncio.get_running_loop().time()
        watch.positions = None
        if self._following is not None and not self._watched:
            self._following.cancel()
            self._following = None

    @property
    def _watched(self) -> list[Subscription]:
        return [watch for watch in self._watches.values() if watch.viewers]

    async def _follow(self) -> None:
        """Keep what is watched up to date, however the database is doing."""
        time, every = asyncio.get_running_loop().time, self._deps.settings.stream_heartbeat_seconds
        # The watch that began this was looked up before: what came since is looked up now.
        known, beat_at, failed = -1, time() + every, False
        while True:
            longest = max(0.0, beat_at - time())
            known = await self._hub.wait(known, min(longest, AGAIN_SECONDS) if failed else longest)
            began = time()
            beating = began >= beat_at
            try:
                await self._refresh_all(beating=beating)
                failed = False
            except Exception as error:  # noqa: BLE001 -- those who watch wait for better times
                failed = True
                log.warning("cannot look at what is watched", error=type(error).__name__)
            if beating:
                beat_at = began + every
            # At most half of the time is spent on looking.
            await asyncio.sleep(time() - began)

    async def _refresh_all(self, *, beating: bool) -> None:
        positions = await self._deps.positions()
        for watch in self._watched:
            async with watch.looked_up:
                if watch.positions is None:
                    # No viewer is left, or the first read is about to come.
                    continue
                if watch.positions != positions:
                    await self._refresh(watch, positions)
                elif beating:
                    await self._beat(watch)

    async def _beat(self, watch: Subscription) -> None:
        """See what time alone has changed: who is online, and which day it is."""
        now = self._deps.clock()
        if watch.overview is None or self._means(watch, now) != watch.scan_filter:
            await self._refresh(watch, watch.positions)
        else:
            watch.publish(self._present(watch, watch.overview, now), anew=False)

    async def _refresh(self, watch: Subscription, positions: object) -> None:
        """Look up what the read models hold, which is at least what they held at `positions`."""
        now = self._deps.clock()
        question = self._means(watch, now)
        async with tenant_connection(self._deps.reading, watch.tenant) as connection:
            overview = await read_overview(
                connection, question, feed_length=self._deps.settings.feed_length
            )
        anew, watch.scan_filter, watch.overview = question != watch.scan_filter, question, overview
        watch.publish(self._present(watch, overview, now), anew=anew)
        watch.positions = positions

    def _means(self, watch: Subscription, now: datetime) -> ScanFilter:
        return build_filter(watch.tenant, watch.filters, self._deps.settings, now=now)

    def _present(self, watch: Subscription, overview: Overview, now: datetime) -> State:
        return present(overview, watch.filters, self._deps.settings, now=now, told_at=now)
