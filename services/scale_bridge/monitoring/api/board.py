"""HTTP of the board: the status of every scale; once, or as a stream of changes (SCL-16)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from libs.errors import Unavailable
from libs.http.auth import Principal
from services.scale_bridge.context import JSON, ApiContext, Reader, Scales
from services.scale_bridge.devices.handlers.device import owner_of
from services.scale_bridge.monitoring.api.board_feed import BoardFeed, Key, Scale

router = APIRouter(tags=["board"])

RETRY_MS: Final = 2000
POLL_SECONDS: Final = 1.0
"""How often a stream checks whether the process is stopping or the session is revoked."""

_encode = msgspec.json.Encoder().encode


Word = Annotated[str | None, Query(max_length=120)]


@dataclass(frozen=True, slots=True)
class Location:
    """The shop and group of scales to show; None means any, an empty text those without one."""

    shop: str | None = None
    group: str | None = None

    def select(self, scales: Mapping[int, Scale]) -> Mapping[int, Scale]:
        """The scales at this location."""
        return {number: scale for number, scale in scales.items() if self._has(scale)}

    def _has(self, scale: Scale) -> bool:
        return self.shop in (None, scale.shop) and self.group in (None, scale.group)


async def location(shop: Word = None, group: Word = None) -> Location:
    """The shop and group of a request."""
    return Location(shop, group)


Located = Annotated[Location, Depends(location)]


@router.get("/devices/board")
async def board(request: Request, scales: Scales, caller: Reader, located: Located) -> Response:
    """The caller's scales, the worst first; all, or those of a shop and a group."""
    feed: BoardFeed = request.app.state.board_feed
    devices = located.select(await feed.get(_key(caller), within=0))
    body = _encode({"at": scales.clock(), "devices": list(devices.values())})
    return Response(body, media_type=JSON)


async def watching(request: Request, caller: Reader) -> AsyncIterator[Key]:
    """The board to stream, counted until the answer ends. 503 if there are too many streams."""
    feed: BoardFeed = request.app.state.board_feed
    async with feed.watching(_key(caller)):
        yield _key(caller)


@router.get(
    "/devices/board/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(
    request: Request,
    scales: Scales,
    caller: Reader,
    located: Located,
    key: Annotated[Key, Depends(watching)],
) -> Response:
    """The board as a stream: an event `board` with all scales, then `scales` (changed) and `gone`.

    It ends after a configured time, and with the session of the caller; then reconnect.
    """
    events = _events(request, scales, caller, key, located)
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no"})


async def _events(
    request: Request, scales: ApiContext, caller: Principal, key: Key, located: Location
) -> AsyncIterator[bytes]:
    time, settings = asyncio.get_running_loop().time, scales.settings
    feed: BoardFeed = request.app.state.board_feed
    ends_at = time() + settings.stream_lifetime_seconds
    known: Mapping[int, Scale] | None = None
    yield format_sse_event(retry=RETRY_MS)
    sent_at, round_ = time(), feed.hub.round
    while time() < ends_at and not request.app.state.draining:
        if scales.revocations.is_revoked(caller.session):
            return
        event = b""
        try:
            now = located.select(await feed.get(key, within=settings.stream_idle_seconds))
            event, known = _event(known, now), now
        except Unavailable:
            # The stream goes on when the database is back.
            pass
        if not event and time() >= sent_at + settings.stream_heartbeat_seconds:
            event = KEEPALIVE_COMMENT
        if event:
            yield event
            sent_at = time()
        round_ = await feed.hub.wait(round_, min(POLL_SECONDS, settings.stream_heartbeat_seconds))


def _event(known: Mapping[int, Scale] | None, now: Mapping[int, Scale]) -> bytes:
    """The event with the changes between two states; empty if nothing changed."""
    if known is None:
        return format_sse_event(event="board", data_str=_encode(list(now.values())).decode())
    changed = [scale for number, scale in now.items() if known.get(number) != scale]
    gone = [number for number in known if number not in now]
    if not changed and not gone:
        return b""
    changes = {"devices": changed, "gone": gone}
    return format_sse_event(event="scales", data_str=_encode(changes).decode())


def _key(caller: Principal) -> Key:
    return caller.tenant, owner_of(caller.subject)
