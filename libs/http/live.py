"""Live queries as server-sent events: a query is loaded once for all its viewers.

A viewer holds only the number of the last state it received. When it can take more, it gets the
event that leads from that state to the current one. So a slow viewer skips states, delays no other
and holds no memory, and a viewer that reconnects with `Last-Event-ID` is served in the same way.
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

import msgspec
import structlog
from fastapi import FastAPI, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from prometheus_client import Gauge
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from libs.errors import Unavailable
from libs.http.auth import Principal
from libs.http.hub import Hub
from libs.postgres.doorbell import PROJECTED, Doorbell

LINGER_SECONDS: Final = 120.0
"""How long the states of a query without viewers stay in memory for clients that reconnect."""
RETRY_SECONDS: Final = 10
AGAIN_SECONDS: Final = 1.0
"""The pause after a failed load, unless the read models are written to before."""
CHECK_SECONDS: Final = 0.5
"""How often a stream checks whether the process is stopping or the session is revoked."""

State = TypeVar("State")
Event: TypeAlias = tuple[str, Any]
"""The name of an event, and its data, which are sent as JSON."""
Positions: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
"""The position of each read model: see `Consistency.positions`."""

STREAM: Final[Mapping[str, Any]] = {
    "response_class": Response,
    "responses": {200: {"content": {"text/event-stream": {}}}},
}
"""What a route with an `EventStream` is declared with: `@router.get("/stream", **STREAM)`."""

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class StreamSettings(BaseModel):
    """The settings of a service with live queries.

    They are loaded after read models were written to, at most every `stream_poll_seconds` and at
    least every `stream_idle_seconds`. A process serves `max_streams` at a time.
    """

    max_streams: int = Field(default=100, ge=1, le=10_000)
    stream_poll_seconds: float = Field(default=1.0, gt=0, le=10)
    stream_idle_seconds: float = Field(default=2.0, gt=0, le=60)
    stream_heartbeat_seconds: float = Field(default=15.0, gt=0, le=30)
    stream_lifetime_seconds: float = Field(default=3600.0, gt=0)


class LiveQuery(ABC, Generic[State]):
    """What a stream shows. Subclasses say how it is loaded and which events lead to a new state.

    Queries of a class with equal `key` are one: the first one is loaded for all of them. With
    `models` it is loaded when one of these read models has moved, and at every heartbeat; without,
    in every round. Viewers with equal `part` see the same part of its state.

    `heartbeat` is sent when there was no event for a while. The events of a `resumable` query have
    ids, and a client may continue after one of them. `retry_ms` is a client's pause before it does.
    A client that is more than `max_states` behind gets the whole state: with rounds of 0.25 s the
    default is a minute of constant change.
    """

    key: Hashable
    part: Hashable = None
    models: ClassVar[Sequence[str]] = ()
    heartbeat: ClassVar[bytes] = KEEPALIVE_COMMENT
    max_states: ClassVar[int] = 240
    resumable: ClassVar[bool] = False
    retry_ms: ClassVar[int] = 2000

    @abstractmethod
    async def load(self, *, changed: bool) -> State | None:
        """The current state; None if there is none at the moment, then the last one stays.

        `changed` is false if only time has passed since it was loaded last.
        """

    @abstractmethod
    def event(self, old: State | None, new: State) -> Event | None:
        """The event that leads from one state to another, None if they do not differ.

        Without an old state it is the whole new one.
        """

    def view(self, state: State) -> State:
        """What this query shows of the state."""
        return state

    def compact(self, _: State, new: State) -> State:
        """The new state as it is kept in memory, beside the one before it."""
        return new


@dataclass(slots=True, eq=False)
class Feed(Generic[State]):
    """The last states of a query, numbered. Event ids begin with `name`, which is unique."""

    name: str
    query: LiveQuery[State]
    viewers: int = 0
    left_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    version: object = None
    state: State | None = None
    number: int = 0
    _past: deque[tuple[int, State]] = field(default_factory=deque)
    _messages: dict[tuple[Hashable, int | None], bytes] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def number_of(self, event_id: str | None) -> int | None:
        """The number of the state an event led to; None if it is not in memory any more."""
        name, _, number = (event_id or "").rpartition("-")
        return next((n for n, _ in self._past if (self.name, str(n)) == (name, number)), None)

    def since(self, number: int | None, viewer: LiveQuery[State]) -> bytes:
        """The event that leads a viewer from a state to the current one; empty without changes."""
        if number == self.number or self.state is None:
            return b""
        key = viewer.part, number
        if key not in self._messages:
            old = next((past for n, past in self._past if n == number), None)
            seen = None if old is None else viewer.view(old)
            self._messages[key] = self._message(viewer.event(seen, viewer.view(self.state)))
        return self._messages[key]

    def publish(self, state: State) -> None:
        """Set the current state."""
        last = self._past[-1][1] if self._past else None
        event = self.query.event(last, state)
        self.state = state
        self._messages.clear()
        if event is None:
            return
        self.number += 1
        self._past.append((self.number, state if last is None else self.query.compact(last, state)))
        if len(self._past) > self.query.max_states:
            self._past.popleft()
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_changed(self, seconds: float) -> None:
        """Wait for the next state, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _message(self, event: Event | None) -> bytes:
        if event is None:
            return b""
        event_id = f"{self.name}-{self.number}" if self.query.resumable else None
        name, data = event
        return format_sse_event(event=name, data_str=_encode(data).decode(), id=event_id)


class StreamHub:
    """The live queries of a process. Nothing is loaded while there are no viewers.

    One task waits for the doorbell of the read models and loads the queries that have viewers. The
    gauge counts the streams.
    """

    def __init__(
        self, doorbell: Doorbell, settings: StreamSettings, positions: Positions, gauge: Gauge
    ) -> None:
        self.settings = settings
        self.viewers = 0
        self._positions = positions
        self._gauge = gauge
        self._name = secrets.token_hex(4)
        self._created = 0
        self._feeds: dict[Hashable, Feed[Any]] = {}
        self._following: asyncio.Task[None] | None = None
        self._rounds = Hub(
            doorbell,
            PROJECTED,
            pause=settings.stream_poll_seconds,
            idle=settings.stream_idle_seconds,
        )

    @asynccontextmanager
    async def subscribe(self, query: LiveQuery[State]) -> AsyncIterator[Feed[State]]:
        """A feed that is kept up to date.

        Raises Unavailable at `max_streams`, and what the first load raises.
        """
        if self.viewers >= self.settings.max_streams:
            raise Unavailable("place to watch", retry_after_seconds=RETRY_SECONDS)
        feed, round_before = self._feed(query), self._rounds.round
        feed.viewers += 1
        self.viewers += 1
        self._gauge.inc()
        try:
            async with feed.lock:
                if feed.version is None:
                    await self._load(feed, await self._moved(feed), due=True)
            if self._following is None:
                self._following = asyncio.create_task(self._follow(round_before))
            yield feed
        finally:
            self._gauge.dec()
            self.viewers -= 1
            self._leave(feed)

    def _feed(self, query: LiveQuery[Any]) -> Feed[Any]:
        oldest = asyncio.get_running_loop().time() - LINGER_SECONDS
        for old, feed in list(self._feeds.items()):
            if not feed.viewers and (feed.left_at < oldest or not feed.query.resumable):
                del self._feeds[old]
        key = type(query), query.key
        if key not in self._feeds:
            self._created += 1
            self._feeds[key] = Feed(f"{self._name}-{self._created}", query)
        return self._feeds[key]

    def _leave(self, feed: Feed[Any]) -> None:
        feed.viewers -= 1
        if not feed.viewers:
            feed.left_at = asyncio.get_running_loop().time()
            feed.version = None
        if self._following is not None and not self.viewers:
            self._following.cancel()
            self._following = None

    async def _follow(self, known: int) -> None:
        """Keep the feeds with viewers up to date, from a round on; survives database failures."""
        time, every = asyncio.get_running_loop().time, self.settings.stream_heartbeat_seconds
        beat_at, level = time() + every, True
        while True:
            longest = max(0.0, beat_at - time())
            known = await self._rounds.wait(
                known, longest if level else min(longest, AGAIN_SECONDS)
            )
            began = time()
            beating = began >= beat_at
            level = await self._refresh_all(beating=beating)
            if beating:
                beat_at = began + every
            # At most half of the time is spent reading.
            await asyncio.sleep(time() - began)

    async def _refresh_all(self, *, beating: bool) -> bool:
        """Load the feeds with viewers; whether all succeeded. Their viewers wait for the others."""
        feeds = [feed for feed in self._feeds.values() if feed.viewers]
        try:
            positions = await self._moved(*feeds)
        except Exception as error:  # noqa: BLE001 -- read again until it works
            log.warning("cannot read the positions of read models", error=type(error).__name__)
            return False
        return all([await self._refresh(feed, positions, due=beating) for feed in feeds])

    async def _refresh(self, feed: Feed[Any], positions: Mapping[str, Any], *, due: bool) -> bool:
        try:
            async with feed.lock:
                # Without a version no viewer is left, or the first load is about to come.
                if feed.version is not None:
                    await self._load(feed, positions, due=due)
        except Exception as error:  # noqa: BLE001 -- loaded again until it works
            log.warning("cannot load a live query", error=type(error).__name__)
            return False
        return True

    async def _moved(self, *feeds: Feed[Any]) -> Mapping[str, Any]:
        return await self._positions() if any(feed.query.models for feed in feeds) else {}

    async def _load(self, feed: Feed[Any], positions: Mapping[str, Any], *, due: bool) -> None:
        """Load a feed if its read models have moved or it is due. Contains at least `positions`."""
        models = feed.query.models
        version = [positions.get(model) for model in models] if models else object()
        changed = feed.version != version
        if changed or due:
            state = await feed.query.load(changed=changed)
            if state is not None:
                feed.publish(state)
            # Without viewers it is not kept up to date any more.
            feed.version = version if feed.viewers else None


class EventStream(Response):
    """A live query as the response to a request of `caller`; the client reconnects at its end.

    It ends after `stream_lifetime_seconds`, with the caller's session, and when the process stops.
    With the id of the last event it continues from there. Before the first byte it raises
    Unavailable if there are too many streams, and what loading raises.
    """

    media_type = EventSourceResponse.media_type

    def __init__(
        self, query: LiveQuery[Any], caller: Principal, last_event_id: str | None = None
    ) -> None:
        super().__init__()
        self._query = query
        self._caller = caller
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: FastAPI = scope["app"]
        hub: StreamHub = app.state.live
        async with hub.subscribe(self._query) as feed:
            # No proxy may buffer the events.
            headers = {"X-Accel-Buffering": "no"}
            events = self._events(app, feed, hub.settings)
            await EventSourceResponse(events, headers=headers)(scope, receive, send)

    async def _events(
        self, app: FastAPI, feed: Feed[Any], settings: StreamSettings
    ) -> AsyncIterator[bytes]:
        time, every = asyncio.get_running_loop().time, settings.stream_heartbeat_seconds
        ends_at = time() + settings.stream_lifetime_seconds
        number = feed.number_of(self._last_event_id)
        yield format_sse_event(retry=self._query.retry_ms)
        sent_at = time()
        while time() < ends_at and not app.state.draining:
            if app.state.deps.revocations.is_revoked(self._caller.session):
                return
            event, number = feed.since(number, self._query), feed.number
            if not event and time() >= sent_at + every:
                event = self._query.heartbeat
            if event:
                yield event
                sent_at = time()
            if number == feed.number:
                await feed.wait_changed(min(CHECK_SECONDS, every))
