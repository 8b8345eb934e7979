"""A listener to a dashboard's stream that keeps a dashboard by what it says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from httpx import AsyncClient

from libs.testing.waiting import PATIENCE_SECONDS

STREAM = "/api/v1/dashboard/stream"
KEYS = {"operators": "operator", "clients": "client", "feed": "uuid"}


@dataclass(frozen=True)
class Event:
    """What came: `state`, `cells`, or `comment`, or `retry`."""

    name: str
    id: str | None = None
    data: Any = None


@dataclass
class Listener:
    """One request to the stream, as an ASGI server sees it; the app waits for a slow listener."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    incoming: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    outgoing: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(1))

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        elif message.get("more_body"):
            await self.outgoing.put(message["body"])
        else:
            await self.outgoing.put(message.get("body") or None)
            await self.outgoing.put(None)

    async def part(self) -> bytes | None:
        """What the app sends next, None at the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.outgoing.get()

    async def next(self, *kinds: str) -> Event:
        """The next event of these kinds, by default a state or cells."""
        while (event := await self._next()).name not in (kinds or ("state", "cells")):
            continue
        return event

    async def until(
        self, state: dict[str, Any], holds: Callable[[dict[str, Any]], bool]
    ) -> tuple[dict[str, Any], list[Event]]:
        """Apply events to a state until something holds; the read models come one by one."""
        events: list[Event] = []
        while not holds(state):
            events.append(await self.next())
            state = applied(state, events[-1])
        return state, events

    async def _next(self) -> Event:
        while b"\n\n" not in self.body:
            part = await self.part()
            if part is None:
                return Event("end") if not self.body else self._fail()
            self.body += part
        event, _, self.body = self.body.partition(b"\n\n")
        return read(event.decode())

    def _fail(self) -> Event:
        raise AssertionError(f"the stream ended within an event: {self.body!r}")


def read(event: str) -> Event:
    """An event off the wire."""
    fields = dict(line.partition(": ")[::2] for line in event.split("\n"))
    if "data" in fields:
        return Event(fields["event"], fields["id"], json.loads(fields["data"]))
    return Event("retry", data=int(fields["retry"])) if "retry" in fields else Event("comment")


@asynccontextmanager
async def listening(
    app: Any, who: AsyncClient, *, last_id: str | None = None, **asked: str
) -> AsyncIterator[Listener]:
    """Listen with somebody's token until the block ends."""
    listener = Listener()
    headers = [(b"authorization", who.headers["authorization"].encode())]
    if last_id is not None:
        headers.append((b"last-event-id", last_id.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": STREAM,
        "raw_path": STREAM.encode(),
        "root_path": "",
        "query_string": urlencode(asked).encode(),
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await listener.incoming.put({"type": "http.request", "body": b"", "more_body": False})
    serving = asyncio.create_task(app(scope, listener.incoming.get, listener.send))
    try:
        yield listener
    finally:
        await listener.incoming.put({"type": "http.disconnect"})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not serving.done():
                # Whatever is still being sent goes nowhere.
                while not listener.outgoing.empty():
                    listener.outgoing.get_nowait()
                await asyncio.sleep(0.001)
        await serving


def applied(state: dict[str, Any], event: Event) -> dict[str, Any]:
    """The dashboard after an event, by the rules of `services.ingest.api.cells`."""
    if event.name == "state":
        made: dict[str, Any] = event.data
        return made
    cells = dict(event.data)
    gone = cells.pop("gone")
    for name, key in KEYS.items():
        cells[name] = _merged(state[name], cells[name], gone[name], key)
    return state | cells


def items(number: int) -> Callable[[dict[str, Any]], bool]:
    """Whether so many items are counted and listed."""
    return lambda state: (
        state["summary"]["items"] == number
        and sum(row["type"] == "ITEM" for row in state["feed"]) == number
    )


def at(state: dict[str, Any], generated_at: str) -> dict[str, Any]:
    """The same dashboard at another moment, if nothing but time went by."""
    now = int(datetime.fromisoformat(generated_at).timestamp() * 1000)
    operators = [
        row | {"onlineAgeSec": max(0, (now - row["lastSeenMs"]) // 1000)}
        for row in state["operators"]
    ]
    return state | {"generatedAt": generated_at, "operators": operators}


def _merged(rows: list[Any], come: list[Any], gone: list[str], key: str) -> list[Any]:
    out = {*gone, *(row[key] for row in come)}
    merged = [row for row in rows if row[key] not in out]
    for row in come:
        merged.insert(row["at"], {name: value for name, value in row.items() if name != "at"})
    return merged
