"""A door as small as can be in front of a service that daemons come to."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs


class Door:
    """What the gateway does for a daemon: tokens, each good once, and the way to the service."""

    def __init__(self, app: Any, bearer: Callable[[], str], refreshed: list[str]) -> None:
        self.app = app
        self.bearer = bearer
        self.refreshed = refreshed
        self.state = app.state
        self._sockets = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return await self._pass(scope, receive, send)
        self._sockets += 1
        try:
            return await self._pass(scope, receive, send)
        finally:
            self._sockets -= 1

    async def left(self) -> None:
        """Until every WebSocket has ended: a server that stops does not wait for them."""
        async with asyncio.timeout(20):
            while self._sockets:
                await asyncio.sleep(0.01)

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path.startswith("/scales/"):
            inner = path.removeprefix("/scales")
            await self.app({**scope, "path": inner, "raw_path": inner.encode()}, receive, send)
        elif path == "/oauth/token":
            await self._token(receive, send)
        else:
            await self.app(scope, receive, send)

    async def _token(self, receive: Any, send: Any) -> None:
        form = parse_qs((await receive())["body"].decode())
        shown = form["refresh_token"][0]
        good = shown not in self.refreshed
        self.refreshed.append(shown)
        said = {
            "access_token": self.bearer(),
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": f"refresh {len(self.refreshed)}",
        }
        body = json.dumps(said if good else {"error": "invalid_grant"}).encode()
        headers = [(b"content-type", b"application/json")]
        start = {"type": "http.response.start", "status": 200 if good else 400, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})
