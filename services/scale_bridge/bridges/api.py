"""HTTP of agents: the list with their status, their keys, and their WebSocket."""

import asyncio
from base64 import b64decode
from typing import Annotated, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Response, WebSocket
from pydantic import AwareDatetime, BaseModel, Field, field_validator
from starlette.datastructures import State
from starlette.websockets import WebSocketDisconnect, WebSocketState

from libs.errors import Refused, Unavailable
from libs.eventsourcing.log import VersionConflict
from libs.eventsourcing.store import new_event_id
from libs.http.auth import Principal, require
from libs.process.concurrency import race
from libs.security.sealed_box import KEY_BYTES, seal_to
from services.scale_bridge.bridges.adapters import wire
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
from services.scale_bridge.bridges.handlers.session import AgentSession, Superseded
from services.scale_bridge.bridges.stores import bridges
from services.scale_bridge.context import Context, Scales
from services.scale_bridge.devices.handlers.device import owner_of

router = APIRouter(tags=["bridges"])

GOING_AWAY: Final = 1001
LATER: Final = 1013
POLL_SECONDS: Final = 0.1

log = structlog.get_logger(__name__)


Agent = Annotated[Principal, Depends(require("scales:bridge"))]


class KeyKnown(Refused):
    """The bridge is known by another key; enrol it anew."""


class Key(BaseModel):
    """The key that passwords are sealed to, and the name of the agent."""

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
    """An agent. `connected` says nothing about its scales: `last_exchange_at` does.

    An `outdated` agent has another version than the service.
    """

    id: UUID
    name: str
    connected: bool
    outdated: bool
    working: int
    exchanges: int
    last_exchange_at: AwareDatetime | None


@router.get("/bridges", name="own")
async def list_bridges(
    context: Scales, caller: Annotated[Principal, Depends(require("scales:read"))]
) -> list[BridgeShown]:
    """The agents of the caller, with the last exchange each completed with a scale."""
    return [
        BridgeShown(
            id=agent.bridge_id,
            name=agent.name,
            connected=agent.connected,
            outdated=agent.program not in ("", PROGRAM),
            working=agent.working,
            exchanges=agent.completed,
            last_exchange_at=agent.completed_at,
        )
        for agent in await bridges.list_owned(
            context.system, caller.tenant, owner_of(caller.subject)
        )
    ]


@router.post("/bridges/key", status_code=204)
async def show_key(context: Scales, key: Key, caller: Agent) -> Response:
    """Register the key that passwords are sealed to. Safe to repeat; another key is refused."""
    bridge_id = UUID(caller.subject)
    if not await bridges.register_key(context.system, caller.tenant, bridge_id, key.name, key.raw):
        raise KeyKnown
    return Response(status_code=204)


@router.websocket("/bridge")
async def bridge(socket: WebSocket, context: Scales, caller: Agent) -> None:
    """Send an agent its tasks and receive its reports, until one side disconnects."""
    await socket.accept()
    code: int | None = GOING_AWAY
    try:
        await race(
            _serve(context, caller, _WebSocketConnection(socket)), _draining(socket.app.state)
        )
    except (WebSocketDisconnect, _Silence):
        # The agent is gone: there is no connection to close.
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
            await _close_quietly(socket, code)


async def _draining(state: State) -> None:
    """Wait until the process drains: the agent then reconnects to another, tasks go on."""
    while not state.draining:
        await asyncio.sleep(POLL_SECONDS)


async def _serve(context: Context, caller: Principal, connection: "_WebSocketConnection") -> None:
    hello = await connection.receive()
    if not isinstance(hello, Hello) or hello.version != VERSION:
        raise Misunderstood("no greeting of this version")
    pool, tenant, bridge_id = context.system, caller.tenant, UUID(caller.subject)
    connection_id = new_event_id()
    key = await bridges.connect(pool, tenant, bridge_id, connection_id, hello.program[:80])
    if key is None:
        raise Misunderstood("a greeting without a key")
    session = AgentSession(
        context=context,
        tenant=tenant,
        bridge_id=bridge_id,
        connection_id=connection_id,
        public_key=key,
        connection=connection,
        holding=set(hello.holding),
    )
    await connection.send(Welcome(version=VERSION, program=PROGRAM))
    log.info("bridge connected", bridge=str(bridge_id), holding=len(hello.holding))
    try:
        await session.run()
    finally:
        log.info("bridge gone", bridge=str(bridge_id))
        await asyncio.shield(_disconnect(context, tenant, bridge_id, connection_id))


async def _disconnect(context: Context, tenant: str, bridge_id: UUID, connection_id: UUID) -> None:
    try:
        await bridges.disconnect(context.system, tenant, bridge_id, connection_id)
    except Unavailable:
        # Without heartbeats the agent soon counts as disconnected.
        log.info("bridge not written off")


class _Silence(Exception):
    """The agent did not answer for too long."""


class _WebSocketConnection:
    """A WebSocket as messages. Raises WebSocketDisconnect, Misunderstood."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._socket.send_text(wire.written(message))
        except TimeoutError:
            raise _Silence from None
        except RuntimeError:
            raise WebSocketDisconnect(GOING_AWAY) from None

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                event = await self._socket.receive()
        except TimeoutError:
            raise _Silence from None
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(GOING_AWAY)
        text = event.get("text")
        if text is None:
            raise Misunderstood("bytes")
        return wire.read(text)


async def _close_quietly(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(2.0):
            await socket.close(code)
    except (RuntimeError, OSError, TimeoutError, WebSocketDisconnect):
        log.info("bridge was gone")
