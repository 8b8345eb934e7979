"""WebSockets that receive live messages, in every API process, and can be resumed.

A socket holds no queue: it holds the id of the last message that was sent, and takes the following
ones from the latest messages of its group, which are loaded once for all sockets of a process, or
from the table if it is further behind. So a slow client costs no memory, and a client that
reconnects with `last_event_id` gets what it missed, once, from any process.

Access is declared at the route as for HTTP: `caller: Annotated[Principal, Depends(require(…))]`.
Browsers cannot send headers with a WebSocket, so the gateway also takes `?token=…`, and does not
pass it on.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec
import structlog
from fastapi import WebSocket
from pydantic import Field
from starlette.datastructures import State
from starlette.websockets import WebSocketDisconnect

from libs.clock import Clock, utc_now
from libs.errors import Refused, Unavailable
from libs.http.auth import Principal
from libs.http.live import CHECK_SECONDS, Feed, StreamHub, StreamSettings
from libs.http.live_messages import Backlog, Group, GroupMessages, LiveMessage, MessagePage
from libs.postgres.pool import Pool
from libs.process.concurrency import race

GOING_AWAY: Final = 1001
REFUSED: Final = 1008
TOO_BIG: Final = 1009
RESTART: Final = 1012
TRY_LATER: Final = 1013

SEND_SECONDS = 10.0
"""How long a client may take to receive one message."""
CLOSE_SECONDS: Final = 2.0
MAX_INCOMING: Final = 16 * 1024
"""The longest message of a client, in characters."""
INCOMING_PAUSE: Final = 0.02
"""Seconds between two messages of a client that are read."""
MAX_EVENTS: Final = 100
"""The most names in a subscription."""

Mask: TypeAlias = Callable[[LiveMessage], LiveMessage | None]
"""What the caller may see of a message; None if nothing."""
Handler: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
"""Handles a message of a client; returns an answer, or None. May raise Refused, Unavailable."""

log = structlog.get_logger(__name__)
_encode: Final = msgspec.json.Encoder().encode


class SocketSettings(StreamSettings):
    """The settings of a service with sockets, which count as streams too.

    Pings are messages, for clients that cannot see those of the protocol.
    """

    max_streams: int = Field(default=1000, ge=1, le=10_000)
    stream_poll_seconds: float = Field(default=0.05, gt=0, le=10)
    stream_idle_seconds: float = Field(default=5.0, gt=0, le=60)
    max_sockets_per_tenant: int = Field(default=200, ge=1, le=10_000)
    socket_ping_seconds: float = Field(default=30.0, gt=0, le=60)


class Sockets:
    """The sockets of a process: their number per tenant is limited, that of all by `streams`.

    One task looks after the sockets that must end: because the process stops, the session was
    revoked, or the socket is `stream_lifetime_seconds` old.
    """

    def __init__(
        self, streams: StreamHub, settings: SocketSettings, pool: Pool, clock: Clock = utc_now
    ) -> None:
        self._streams = streams
        self._settings = settings
        self._pool = pool
        self._clock = clock
        self._per_tenant: Counter[str] = Counter()
        self._open: set[_Socket] = set()
        self._watching: asyncio.Task[None] | None = None

    async def serve(
        self,
        socket: WebSocket,
        group: Group,
        caller: Principal,
        *,
        hello: Mapping[str, Any],
        handlers: Mapping[str, Handler] | None = None,
        mask: Mask | None = None,
    ) -> None:
        """Accept a socket and send it the messages of a group until it ends.

        The first message has `hello`, and whether the socket was `resumed` after the message that
        `?last_event_id=` names: if not, the client may have missed some. `handlers` are of messages
        that the client sends, by type; pongs and subscriptions are handled here, and others sent
        back. It ends with 1008 for a revoked session, 1009 for a message that is too long, 1012
        when the process stops, and 1013 if the client is too slow, there are too many sockets, or
        the database is away: then it should reconnect.
        """
        await socket.accept()
        open_socket = _Socket(socket, self._settings, self._clock, caller, handlers or {}, mask)
        try:
            with self._counted(group.tenant):
                query = GroupMessages(self._pool, group)
                async with self._streams.subscribe(query) as feed:
                    with self._watched(open_socket):
                        await open_socket.run(feed, query, hello)
        except _CloseRequested as end:
            await close(socket, end.code)
        except (Unavailable, TimeoutError) as error:
            log.info("socket put off", reason=type(error).__name__)
            await close(socket, TRY_LATER)
        except WebSocketDisconnect:
            return

    @contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        if self._per_tenant[tenant] >= self._settings.max_sockets_per_tenant:
            raise _CloseRequested(TRY_LATER)
        self._per_tenant[tenant] += 1
        try:
            yield
        finally:
            self._per_tenant[tenant] -= 1
            if not self._per_tenant[tenant]:
                del self._per_tenant[tenant]

    @contextmanager
    def _watched(self, socket: "_Socket") -> Iterator[None]:
        self._open.add(socket)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(socket.state), name="sockets")
        try:
            yield
        finally:
            self._open.discard(socket)
            if not self._open:
                self._watching.cancel()
                self._watching = None

    async def _watch(self, state: State) -> None:
        time = asyncio.get_running_loop().time
        while True:
            oldest = time() - self._settings.stream_lifetime_seconds
            for socket in self._open:
                if state.draining:
                    socket.request_close(RESTART)
                elif state.deps.revocations.is_revoked(socket.caller.session):
                    socket.request_close(REFUSED)
                elif socket.opened_at < oldest:
                    socket.request_close(GOING_AWAY)
            await asyncio.sleep(CHECK_SECONDS)


async def refuse(socket: WebSocket, code: int = REFUSED) -> None:
    """Accept a socket only to close it: scripts of pages see the code, but no HTTP status."""
    await socket.accept()
    await close(socket, code)


async def close(socket: WebSocket, code: int) -> None:
    """Close a socket whose client may be gone, or may not read."""
    with suppress(RuntimeError, OSError, TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code)


class _CloseRequested(Exception):
    """The socket must be closed with the code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False)
class _Socket:
    """One accepted socket. `last` is the id of the last message that was sent or left out."""

    socket: WebSocket
    settings: SocketSettings
    clock: Clock
    caller: Principal
    handlers: Mapping[str, Handler]
    mask: Mask | None
    last: int = 0
    events: frozenset[str] | None = None
    opened_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _send_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _close_requested: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def state(self) -> State:
        """The state of the app."""
        state: State = self.socket.app.state
        return state

    def request_close(self, code: int) -> None:
        """Let `run` raise _CloseRequested. Safe to repeat."""
        if not self._close_requested.done():
            self._close_requested.set_exception(_CloseRequested(code))

    async def run(
        self, feed: Feed[Backlog], query: GroupMessages, hello: Mapping[str, Any]
    ) -> None:
        """Send and receive.

        Raises _CloseRequested, WebSocketDisconnect, TimeoutError, Unavailable.
        """
        resumed = await self._resume(_current(feed), query)
        status = {"type": "connection", "status": "connected", "resumed": resumed}
        await self._answer({**status, **hello})
        await race(self._deliver(feed, query), self._receive(), self._wait_for_end())

    async def _wait_for_end(self) -> None:
        await self._close_requested

    async def _resume(self, backlog: Backlog, query: GroupMessages) -> bool:
        """Set the message to begin after; whether it is the one that the client named."""
        given = self.socket.query_params.get("last_event_id", "")
        self.last = backlog.last
        # Longer numbers are no ids, and may be no integers of the database.
        if not (given.isascii() and given.isdigit() and len(given) < 19):
            return False
        if int(given) <= backlog.last and await query.reader.is_stored(int(given)):
            self.last = int(given)
        return self.last == int(given)

    async def _deliver(self, feed: Feed[Backlog], query: GroupMessages) -> None:
        time, every = asyncio.get_running_loop().time, self.settings.socket_ping_seconds
        ping_at = time() + every
        while True:
            async for message in self._pending(feed, query):
                await self._send_message(message)
            if time() >= ping_at:
                await self._answer({"type": "ping"})
                ping_at = time() + every
            # Nothing is awaited between the comparison and the wait, so that no change is missed.
            if _current(feed).last == self.last:
                await feed.wait_changed(max(0.0, ping_at - time()))

    async def _pending(
        self, feed: Feed[Backlog], query: GroupMessages
    ) -> AsyncIterator[LiveMessage]:
        """The messages after `last`, which is set as they are taken."""
        while (backlog := _current(feed)).last != self.last:
            if self.last >= backlog.after:
                page = MessagePage(backlog.since(self.last), backlog.last)
            else:
                if self.last and not await query.reader.is_stored(self.last):
                    # It was deleted, so others that were not sent may be deleted too.
                    raise _CloseRequested(TRY_LATER)
                page = await query.page(self.last, backlog.after)
            for message in page.messages:
                yield message
                self.last = message.id
            self.last = page.reached

    async def _send_message(self, message: LiveMessage) -> None:
        if self.events is not None and message.type not in self.events:
            return
        visible = message if self.mask is None else self.mask(message)
        if visible is not None:
            await self._send(visible.text)

    async def _receive(self) -> None:
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code") or GOING_AWAY)
            text = message.get("text")
            if text is None or len(text) > MAX_INCOMING:
                raise _CloseRequested(TOO_BIG if text else REFUSED)
            if (answer := await self._handled(text)) is not None:
                await self._answer(answer)
            await asyncio.sleep(INCOMING_PAUSE)

    async def _handled(self, text: str) -> Mapping[str, Any] | None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return {"type": "echo", "data": text}
        match message:
            case {"type": "pong"}:
                return None
            case {"type": "subscribe", "events": list(events)}:
                names = [name for name in events if isinstance(name, str)][:MAX_EVENTS]
                self.events = frozenset(names)
                return {"type": "subscribed", "events": names}
            case {"type": str(kind)} if kind in self.handlers:
                return await self._handle(self.handlers[kind], message)
        return {"type": "echo", "data": message}

    async def _handle(
        self, handler: Handler, message: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        try:
            return await handler(message)
        except (Refused, Unavailable) as error:
            return {"type": "error", "code": type(error).__name__, "detail": str(error)}

    async def _answer(self, message: Mapping[str, Any]) -> None:
        await self._send(_encode({**message, "timestamp": self.clock().isoformat()}).decode())

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS), self._send_lock:
            try:
                await self.socket.send_text(text)
            except (RuntimeError, OSError):
                raise WebSocketDisconnect(GOING_AWAY) from None


def _current(feed: Feed[Backlog]) -> Backlog:
    """The state of a feed, which is loaded before the first subscription."""
    if feed.state is None:
        raise Unavailable("live messages")
    return feed.state
