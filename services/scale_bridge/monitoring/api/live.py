"""The board of each owner as it is now, looked up once for all who watch it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from prometheus_client import Gauge

from libs.errors import Unavailable
from libs.http.hub import Hub
from libs.postgres.doorbell import PROJECTED
from libs.postgres.pool import tenant_connection
from services.scale_bridge.context import ApiContext
from services.scale_bridge.devices.domain.verification import days_left
from services.scale_bridge.monitoring.domain import State, device_status
from services.scale_bridge.monitoring.read_models import board
from services.scale_bridge.monitoring.read_models.board import Row
from services.scale_bridge.monitoring.read_models.drift import counts

RECOUNT_SECONDS: Final = 5.0
"""How long the products that differ need not be counted again if nothing else changed."""
RETRY_SECONDS: Final = 10

WATCHING: Final = Gauge("scale_bridge_streams", "Boards that are being watched")

Key: TypeAlias = tuple[str, UUID]
_ORDER: Final = {state: place for place, state in enumerate(State)}


class Scale(msgspec.Struct):
    """A scale on the board: how it stands and why, and when it last completed an exchange.

    `verification_days` are left until it has to be verified, less than 0 after that day.
    """

    id: int
    name: str
    state: str
    reason: str
    last_exchange: datetime | None
    desired_revision: int
    verified_revision: int | None
    pending: int
    shop: str
    group: str
    next_verification: date | None
    verification_days: int | None


@dataclass(slots=True)
class _Watch:
    looked_at: float = float("-inf")
    round: int = -1
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    viewers: int = 0
    scales: Mapping[int, Scale] = field(default_factory=dict)
    counted: dict[UUID, tuple[Any, int, float]] = field(default_factory=dict)


class Live:
    """Everything this process watches."""

    def __init__(self, deps: ApiContext) -> None:
        self._deps = deps
        self._watches: dict[Key, _Watch] = {}
        settings = deps.settings
        self.hub = Hub(
            deps.doorbell,
            PROJECTED,
            pause=settings.stream_poll_seconds,
            idle=settings.stream_idle_seconds,
        )

    @asynccontextmanager
    async def watching(self, key: Key) -> AsyncIterator[None]:
        """Keep a place. Raises Unavailable if there are too many who watch."""
        if (
            sum(watch.viewers for watch in self._watches.values())
            >= self._deps.settings.max_streams
        ):
            raise Unavailable("place to watch", retry_after_seconds=RETRY_SECONDS)
        watch = self._watches.setdefault(key, _Watch())
        watch.viewers += 1
        WATCHING.inc()
        try:
            yield
        finally:
            WATCHING.dec()
            watch.viewers -= 1
            if not watch.viewers:
                self._watches.pop(key, None)

    async def get(self, key: Key, *, within: float) -> Mapping[int, Scale]:
        """The board, the worst first, as it was so many seconds ago at most, and not before the
        present round of the hub."""
        watch = self._watches.get(key) or _Watch()
        time = asyncio.get_running_loop().time
        async with watch.turn:
            if watch.round != self.hub.round or time() - watch.looked_at >= within:
                round_ = self.hub.round
                watch.scales = await self._refreshed(key, watch, time())
                watch.looked_at, watch.round = time(), round_
        return watch.scales

    async def _refreshed(self, key: Key, watch: _Watch, now: float) -> Mapping[int, Scale]:
        tenant, owner = key
        async with tenant_connection(self._deps.reading, tenant) as connection:
            rows = await board.rows(connection, tenant, owner=owner)
            old = [row for row in rows if row.facts.valid and _is_old(watch, row, now)]
            fresh = await counts(connection, tenant, [row.device_id for row in old]) if old else {}
        for row in old:
            watch.counted[row.device_id] = row.facts, fresh.get(row.device_id, 0), now
        today = self._deps.clock().astimezone(self._deps.settings.zone).date()
        return _sorted([_worded(row, watch, today) for row in rows])


def _is_old(watch: _Watch, row: Row, now: float) -> bool:
    facts, _, at = watch.counted.get(row.device_id, (None, 0, 0.0))
    return facts != row.facts or now - at >= RECOUNT_SECONDS


def _worded(row: Row, watch: _Watch, today: date) -> Scale:
    pending = watch.counted[row.device_id][1] if row.facts.valid else 0
    facts = replace(row.facts, pending=pending)
    told = device_status(facts)
    return Scale(
        id=row.number,
        name=row.name,
        state=told.state,
        reason=told.reason,
        last_exchange=facts.heard_at,
        desired_revision=facts.revision,
        verified_revision=facts.confirmed,
        pending=pending,
        shop=row.shop,
        group=row.group,
        next_verification=row.next_verification,
        verification_days=days_left(row.next_verification, today),
    )


def _sorted(scales: Sequence[Scale]) -> Mapping[int, Scale]:
    ordered = sorted(scales, key=lambda scale: (_ORDER[State(scale.state)], scale.id))
    return {scale.id: scale for scale in ordered}
