"""HTTP of the board: the status of every scale; once, or as a stream of changes (SCL-16)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from prometheus_client import Gauge

from libs.errors import Unavailable
from libs.http.auth import Principal
from libs.http.live import STREAM, Event, EventStream, LiveQuery
from libs.postgres.pool import tenant_connection
from services.scale_bridge.context import JSON, ApiContext, Reader, Scales
from services.scale_bridge.devices.domain.verification import days_left
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.monitoring.domain import State, device_status
from services.scale_bridge.monitoring.read_models import board as read_models
from services.scale_bridge.monitoring.read_models.board import BoardRow
from services.scale_bridge.monitoring.read_models.drift import counts

router = APIRouter(tags=["board"])

STREAMS: Final = Gauge("scale_bridge_streams", "Boards that are being watched")
RECOUNT_SECONDS: Final = 5.0
"""How long the number of differing products is reused while nothing else changes."""

Word = Annotated[str | None, Query(max_length=120)]

_ORDER: Final = {state: position for position, state in enumerate(State)}
_encode = msgspec.json.Encoder().encode


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


Board: TypeAlias = Mapping[int, Scale]
"""Scales by their number, the worst first."""


@dataclass(frozen=True, slots=True)
class Location:
    """The shop and group of scales to show; None means any, an empty text those without one."""

    shop: str | None = None
    group: str | None = None

    def select(self, scales: Board) -> Board:
        """The scales at this location."""
        return {number: scale for number, scale in scales.items() if self._has(scale)}

    def _has(self, scale: Scale) -> bool:
        return self.shop in (None, scale.shop) and self.group in (None, scale.group)


class LiveBoard(LiveQuery[Board]):
    """The scales of an owner; each viewer sees those at one location."""

    part: Location

    def __init__(
        self, scales: ApiContext, caller: Principal, location: Location | None = None
    ) -> None:
        self._scales = scales
        self._tenant, self._owner = self.key = caller.tenant, owner_of(caller.subject)
        self.part = location or Location()
        self._counts: dict[UUID, tuple[Any, int, float]] = {}
        """The facts, the number of differing products and the time of each count."""

    async def load(self, *, changed: bool) -> Board | None:
        """The board; None while the database is unavailable, the stream goes on afterwards."""
        try:
            return await self.read()
        except Unavailable:
            return None

    def event(self, old: Board | None, new: Board) -> Event | None:
        """`board` with all scales, or `scales` with changed ones and the numbers of `gone` ones."""
        if old is None:
            return "board", list(new.values())
        changed = [scale for number, scale in new.items() if old.get(number) != scale]
        gone = [number for number in old if number not in new]
        return ("scales", {"devices": changed, "gone": gone}) if changed or gone else None

    def view(self, state: Board) -> Board:
        """The scales at the location."""
        return self.part.select(state)

    def compact(self, old: Board, new: Board) -> Board:
        """The new board, sharing equal scales with the old one."""
        return {n: old[n] if old.get(n) == scale else scale for n, scale in new.items()}

    async def read(self) -> Board:
        """The present board of the owner. Raises Unavailable."""
        now = asyncio.get_running_loop().time()
        async with tenant_connection(self._scales.reading, self._tenant) as connection:
            rows = await read_models.rows(connection, self._tenant, owner=self._owner)
            old = [row for row in rows if row.facts.valid and self._is_old(row, now)]
            ids = [row.device_id for row in old]
            fresh = await counts(connection, self._tenant, ids) if old else {}
        for row in old:
            self._counts[row.device_id] = row.facts, fresh.get(row.device_id, 0), now
        today = self._scales.clock().astimezone(self._scales.settings.zone).date()
        return _sorted([self._scale(row, today) for row in rows])

    def _is_old(self, row: BoardRow, now: float) -> bool:
        facts, _, at = self._counts.get(row.device_id, (None, 0, 0.0))
        return facts != row.facts or now - at >= RECOUNT_SECONDS

    def _scale(self, row: BoardRow, today: date) -> Scale:
        pending = self._counts[row.device_id][1] if row.facts.valid else 0
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


async def location(shop: Word = None, group: Word = None) -> Location:
    """The shop and group of a request."""
    return Location(shop, group)


Located = Annotated[Location, Depends(location)]


@router.get("/devices/board")
async def board(scales: Scales, caller: Reader, located: Located) -> Response:
    """The caller's scales, the worst first; all, or those of a shop and a group."""
    devices = located.select(await LiveBoard(scales, caller).read())
    body = _encode({"at": scales.clock(), "devices": list(devices.values())})
    return Response(body, media_type=JSON)


@router.get("/devices/board/stream", **STREAM)
async def stream(scales: Scales, caller: Reader, located: Located) -> Response:
    """The board as a stream: an event `board` with all scales, then `scales` (changed) and `gone`.

    It ends after a configured time, and with the session of the caller; then reconnect.
    """
    return EventStream(LiveBoard(scales, caller, located), caller)


def _sorted(scales: Sequence[Scale]) -> Board:
    ordered = sorted(scales, key=lambda scale: (_ORDER[State(scale.state)], scale.id))
    return {scale.id: scale for scale in ordered}
