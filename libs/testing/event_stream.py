"""Read server-sent events of an app in the same process while the app sends them.

httpx would wait for the end of the response, which never comes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from httpx import AsyncClient

from libs.testing.polling import PATIENCE_SECONDS


@dataclass(frozen=True)
class Event:
    """One event. Comments and retry fields have the names `comment` and `retry`, the end `end`."""

    name: str
    id: str | None = None
    data: Any = None


def read(event: str) -> Event:
    """Parse an event, without the blank line after it."""
    fields = dict(line.partition(": ")[::2] for line in event.split("\n"))
    if "data" in fields:
        return Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
    return Event("retry", data=int(fields["retry"])) if "retry" in fields else Event("comment")


@dataclass
class Listener:
    """One request to a stream, as an ASGI server sees it. The app waits for a slow listener."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    incoming: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    outgoing: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(1))

    async def send(self, message: Any) -> None:
        """Receive an ASGI message of the app."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        elif message.get("more_body"):
            await self.outgoing.put(message["body"])
        else:
            await self.outgoing.put(message.get("body") or None)
            await self.outgoing.put(None)

    async def part(self) -> bytes | None:
        """The next part of the body, None at the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.outgoing.get()

    async def next(self, *kinds: str) -> Event:
        """The next event of these kinds, by default any with data; or the end."""
        while True:
            event = await self._next()
            if event.name in kinds or (not kinds and event.name not in ("comment", "retry")):
                return event

    async def until(self, condition: Callable[[Any], bool]) -> Event:
        """The next event whose data satisfies the condition."""
        while not condition((event := await self.next()).data):
            assert event.name != "end", "the stream ended"
        return event

    async def _next(self) -> Event:
        while b"\n\n" not in self.body:
            part = await self.part()
            if part is None:
                assert not self.body, f"the stream ended within an event: {self.body!r}"
                return Event("end")
            self.body += part
        event, _, self.body = self.body.partition(b"\n\n")
        return read(event.decode())


@asynccontextmanager
async def open_stream(
    app: Any, client: AsyncClient, path: str, /, *, last_id: str | None = None, **query: str
) -> AsyncIterator[Listener]:
    """Listen with a client's token until the block ends."""
    listener = Listener()
    headers: Mapping[str, str | None] = {
        "authorization": client.headers["authorization"],
        "last-event-id": last_id,
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": urlencode(query).encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items() if v is not None],
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
                # Discard what the app still sends.
                while not listener.outgoing.empty():
                    listener.outgoing.get_nowait()
                await asyncio.sleep(0.001)
        await serving
