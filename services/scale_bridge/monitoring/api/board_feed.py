"""The present board of each owner, queried once for all streams that show it."""

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
from services.scale_bridge.monitoring.read_models import board as read_models
from services.scale_bridge.monitoring.read_models.board import BoardRow
from services.scale_bridge.monitoring.read_models.drift import counts

RECOUNT_SECONDS: Final = 5.0
"""How long the number of differing products is reused while nothing else changes."""
RETRY_SECONDS: Final = 10

WATCHING: Final = Gauge("scale_bridge_streams", "Boards that are being watched")

Key: TypeAlias = tuple[str, UUID]
_ORDER: Final = {state: position for position, state in enumerate(State)}


class Scale(msgspec.Struct):
    """A scale on the board: its status with the reason, and its last completed exchange.

    `verification_days` are left until its next verification, below 0 after that day.
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
class _Board:
    """The last query of a board. `counts` has the facts, the number and the time of each count."""

    queried_at: float = float("-inf")
    round: int = -1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    viewers: int = 0
    scales: Mapping[int, Scale] = field(default_factory=dict)
    counts: dict[UUID, tuple[Any, int, float]] = field(default_factory=dict)


class BoardFeed:
    """The boards that this process serves. `hub` wakes the streams when read models change."""

    def __init__(self, deps: ApiContext) -> None:
        self._deps = deps
        self._boards: dict[Key, _Board] = {}
        settings = deps.settings
        self.hub = Hub(
            deps.doorbell,
            PROJECTED,
            pause=settings.stream_poll_seconds,
            idle=settings.stream_idle_seconds,
        )

    @asynccontextmanager
    async def watching(self, key: Key) -> AsyncIterator[None]:
        """Count a stream while it lasts. Raises Unavailable if there are too many."""
        if sum(board.viewers for board in self._boards.values()) >= self._deps.settings.max_streams:
            raise Unavailable("place to watch", retry_after_seconds=RETRY_SECONDS)
        board = self._boards.setdefault(key, _Board())
        board.viewers += 1
        WATCHING.inc()
        try:
            yield
        finally:
            WATCHING.dec()
            board.viewers -= 1
            if not board.viewers:
                self._boards.pop(key, None)

    async def get(self, key: Key, *, within: float) -> Mapping[int, Scale]:
        """The board, the worst first: not older than `within` seconds, nor than the hub's round."""
        board = self._boards.get(key) or _Board()
        time = asyncio.get_running_loop().time
        async with board.lock:
            if board.round != self.hub.round or time() - board.queried_at >= within:
                round_ = self.hub.round
                board.scales = await self._query(key, board, time())
                board.queried_at, board.round = time(), round_
        return board.scales

    async def _query(self, key: Key, board: _Board, now: float) -> Mapping[int, Scale]:
        tenant, owner = key
        async with tenant_connection(self._deps.reading, tenant) as connection:
            rows = await read_models.rows(connection, tenant, owner=owner)
            old = [row for row in rows if row.facts.valid and _is_old(board, row, now)]
            fresh = await counts(connection, tenant, [row.device_id for row in old]) if old else {}
        for row in old:
            board.counts[row.device_id] = row.facts, fresh.get(row.device_id, 0), now
        today = self._deps.clock().astimezone(self._deps.settings.zone).date()
        return _sorted([_scale(row, board, today) for row in rows])


def _is_old(board: _Board, row: BoardRow, now: float) -> bool:
    facts, _, at = board.counts.get(row.device_id, (None, 0, 0.0))
    return facts != row.facts or now - at >= RECOUNT_SECONDS


def _scale(row: BoardRow, board: _Board, today: date) -> Scale:
    pending = board.counts[row.device_id][1] if row.facts.valid else 0
    facts = replace(row.facts, pending=pending)
    status = device_status(facts)
    return Scale(
        id=row.number,
        name=row.name,
        state=status.state,
        reason=status.reason,
        last_exchange=facts.last_exchange,
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
