"""The board: every scale by name, how it stands and why; once, or as it changes (SCL-16)."""

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
from services.scale_bridge.monitoring.api.live import Key, Live, Scale

router = APIRouter(tags=["board"])

RETRY_MS: Final = 2000
POLL_SECONDS: Final = 1.0
"""How often a stream checks whether the process is stopping or the session is revoked."""

_encode = msgspec.json.Encoder().encode


Word = Annotated[str | None, Query(max_length=120)]


@dataclass(frozen=True, slots=True)
class Where:
    """Which scales are asked for; None asks for any, an empty text for those nobody placed."""

    shop: str | None = None
    group: str | None = None

    def of(self, scales: Mapping[int, Scale]) -> Mapping[int, Scale]:
        """Those of the scales that stand there."""
        return {number: scale for number, scale in scales.items() if self._has(scale)}

    def _has(self, scale: Scale) -> bool:
        return self.shop in (None, scale.shop) and self.group in (None, scale.group)


async def where(shop: Word = None, group: Word = None) -> Where:
    """Of which shop and group the board is asked for."""
    return Where(shop, group)


Placed = Annotated[Where, Depends(where)]


@router.get("/devices/board")
async def board(request: Request, scales: Scales, caller: Reader, placed: Placed) -> Response:
    """The caller's scales, the worst first; all, or those of a shop and a group."""
    live: Live = request.app.state.live
    found = placed.of(await live.get(_key(caller), within=0))
    body = _encode({"at": scales.clock(), "devices": list(found.values())})
    return Response(body, media_type=JSON)


async def watching(request: Request, caller: Reader) -> AsyncIterator[Key]:
    """A place to watch, held until the answer is over. 503 if there are too many who do."""
    live: Live = request.app.state.live
    async with live.watching(_key(caller)):
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
    placed: Placed,
    key: Annotated[Key, Depends(watching)],
) -> Response:
    """First an event `board` with all scales, then `scales` with those that changed and `gone`.

    It ends after a time that is set, and with the session of who asked; then come back.
    """
    events = _events(request, scales, caller, key, placed)
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no"})


async def _events(
    request: Request, scales: ApiContext, caller: Principal, key: Key, placed: Where
) -> AsyncIterator[bytes]:
    time, settings = asyncio.get_running_loop().time, scales.settings
    live: Live = request.app.state.live
    ends_at = time() + settings.stream_lifetime_seconds
    known: Mapping[int, Scale] | None = None
    yield format_sse_event(retry=RETRY_MS)
    said_at, round_ = time(), live.hub.round
    while time() < ends_at and not request.app.state.draining:
        if scales.revocations.is_revoked(caller.session):
            return
        event = b""
        try:
            now = placed.of(await live.get(key, within=settings.stream_idle_seconds))
            event, known = _event(known, now), now
        except Unavailable:
            # Those who watch wait for better times.
            pass
        if not event and time() >= said_at + settings.stream_heartbeat_seconds:
            event = KEEPALIVE_COMMENT
        if event:
            yield event
            said_at = time()
        round_ = await live.hub.wait(round_, min(POLL_SECONDS, settings.stream_heartbeat_seconds))


def _event(known: Mapping[int, Scale] | None, now: Mapping[int, Scale]) -> bytes:
    """What leads from one state to the next; empty if nothing changed."""
    if known is None:
        return format_sse_event(event="board", data_str=_encode(list(now.values())).decode())
    changed = [scale for number, scale in now.items() if known.get(number) != scale]
    gone = [number for number in known if number not in now]
    if not changed and not gone:
        return b""
    told = {"devices": changed, "gone": gone}
    return format_sse_event(event="scales", data_str=_encode(told).decode())


def _key(caller: Principal) -> Key:
    return caller.tenant, owner_of(caller.subject)
