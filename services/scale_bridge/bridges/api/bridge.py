"""The daemons on shops' networks: their keys, their connections, and whether they do anything."""

import asyncio
from base64 import b64decode
from typing import Annotated, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Response, WebSocket
from pydantic import AwareDatetime, BaseModel, Field, field_validator
from starlette.datastructures import State
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect, WebSocketState

from libs.errors import Refused, Unavailable
from libs.eventsourcing.log import VersionConflict
from libs.eventsourcing.store import new_event_id
from libs.http.auth import Principal, require
from libs.process.concurrency import race
from libs.security.sealed_box import KEY_BYTES, seal_to
from services.scale_bridge.bridges.adapters import wire as bridge_wire
from services.scale_bridge.bridges.adapters.wire import Misunderstood
from services.scale_bridge.bridges.domain import (
    MISUNDERSTOOD,
    PROGRAM,
    SILENT_SECONDS,
    SUPERSEDED,
    VERSION,
    Hello,
    Message,
    Welcome,
)
from services.scale_bridge.bridges.handlers.session import Session, Superseded
from services.scale_bridge.bridges.stores import bridges
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers.device import owner_of

router = APIRouter(tags=["bridges"])

GOING_AWAY: Final = 1001
REFUSED: Final = 1008
LATER: Final = 1013
POLL_SECONDS: Final = 0.1

log = structlog.get_logger(__name__)


async def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.deps.context
    return context


Commands = Annotated[Context, Depends(_context)]


class KeyKnown(Refused):
    """The bridge is known by another key; enrol it anew."""


class Key(BaseModel):
    """What a daemon shows once: what passwords are sealed with, and what people call it."""

    public_key: str = Field(max_length=64)
    name: str = Field(min_length=1, max_length=120)

    @field_validator("public_key")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        try:
            raw = b64decode(value, validate=True)
            seal_to(raw, "", "")
        except ValueError:
            raise ValueError(f"must be an X25519 key of {KEY_BYTES} bytes in base64") from None
        return value

    @property
    def raw(self) -> bytes:
        """The key itself."""
        return b64decode(self.public_key)


class BridgeShown(BaseModel):
    """A daemon. `connected` says nothing of scales: `last_exchange_at` does.

    One that is `outdated` should be brought up to date.
    """

    id: UUID
    name: str
    connected: bool
    outdated: bool
    working: int
    exchanges: int
    last_exchange_at: AwareDatetime | None


@router.get("/bridges")
async def own(
    context: Commands, caller: Annotated[Principal, Depends(require("scales:read"))]
) -> list[BridgeShown]:
    """The bridges one has let in, with the last exchange each completed with a scale."""
    return [
        BridgeShown(
            id=one.bridge_id,
            name=one.name,
            connected=one.connected,
            outdated=one.program not in ("", PROGRAM),
            working=one.working,
            exchanges=one.completed,
            last_exchange_at=one.completed_at,
        )
        for one in await bridges.own(context.pool, caller.tenant, owner_of(caller.subject))
    ]


@router.post("/bridges/key", status_code=204)
async def show_key(
    context: Commands, key: Key, caller: Annotated[Principal, Depends(require("scales:bridge"))]
) -> Response:
    """Say what to seal passwords with. Safe to repeat; another key is refused."""
    known = await bridges.key(context.pool, caller.tenant, UUID(caller.subject), key.name, key.raw)
    if not known:
        raise KeyKnown
    return Response(status_code=204)


@router.websocket("/bridge")
async def bridge(
    socket: WebSocket,
    context: Commands,
    caller: Annotated[Principal, Depends(require("scales:bridge"))],
) -> None:
    """Work for a daemon, and its reports, until one of the two hangs up."""
    await socket.accept()
    code: int | None = GOING_AWAY
    try:
        await race(_attend(context, caller, _Line(socket)), _draining(socket.app.state))
    except (WebSocketDisconnect, _Silence):
        # Nobody is there to be told.
        code = None
    except Superseded:
        code = SUPERSEDED
    except Misunderstood as error:
        code = MISUNDERSTOOD
        log.warning("bridge misunderstood", bridge=caller.subject, reason=str(error))
    except (Unavailable, VersionConflict) as error:
        code = LATER
        log.warning("bridge put off", bridge=caller.subject, reason=type(error).__name__)
    finally:
        if code is not None and socket.application_state is WebSocketState.CONNECTED:
            await _quietly_closed(socket, code)


async def _draining(state: State) -> None:
    """Until the process is to end: the daemon goes to another at once, and nothing breaks off."""
    while not state.draining:
        await asyncio.sleep(POLL_SECONDS)


async def _attend(context: Context, caller: Principal, line: "_Line") -> None:
    hello = await line.receive()
    if not isinstance(hello, Hello) or hello.version != VERSION:
        raise Misunderstood("no greeting of this version")
    pool, tenant, bridge_id = context.pool, caller.tenant, UUID(caller.subject)
    connection_id = new_event_id()
    key = await bridges.connected(pool, tenant, bridge_id, connection_id, hello.program[:80])
    if key is None:
        raise Misunderstood("a greeting without a key")
    session = Session(
        context=context,
        tenant=tenant,
        bridge_id=bridge_id,
        connection_id=connection_id,
        public_key=key,
        line=line,
        holding=set(hello.holding),
    )
    await line.send(Welcome(version=VERSION, program=PROGRAM))
    log.info("bridge connected", bridge=str(bridge_id), holding=len(hello.holding))
    try:
        await session.attend()
    finally:
        log.info("bridge gone", bridge=str(bridge_id))
        await asyncio.shield(_gone(context, tenant, bridge_id, connection_id))


async def _gone(context: Context, tenant: str, bridge_id: UUID, connection_id: UUID) -> None:
    try:
        await bridges.gone(context.pool, tenant, bridge_id, connection_id)
    except Unavailable:
        # It will not be heard of, which says the same.
        log.info("bridge not written off")


class _Silence(Exception):
    """Nothing was heard for too long."""


class _Line:
    """The WebSocket as messages. Raises WebSocketDisconnect, Misunderstood."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._socket.send_text(bridge_wire.written(message))
        except TimeoutError:
            raise _Silence from None
        except RuntimeError:
            raise WebSocketDisconnect(GOING_AWAY) from None

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                said = await self._socket.receive()
        except TimeoutError:
            raise _Silence from None
        if said["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(GOING_AWAY)
        text = said.get("text")
        if text is None:
            raise Misunderstood("bytes")
        return bridge_wire.read(text)


async def _quietly_closed(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(2.0):
            await socket.close(code)
    except (RuntimeError, OSError, TimeoutError, WebSocketDisconnect):
        log.info("bridge was gone")
