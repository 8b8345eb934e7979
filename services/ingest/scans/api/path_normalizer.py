"""Middleware for old clients: accepts their spellings of paths, and forbids caching.

Plain ASGI: it handles every request.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_SLASHES: Final = re.compile(r"/{2,}")
_REPEATED: Final = re.compile(r"^(?:/api/v1)+(?=/api/v1(?:/|$))")
_NEVER_CACHED: Final = [(b"vary", b"*"), (b"cache-control", b"no-store")]


def tidy(path: str) -> str:
    """One slash where there are several, and `/api/v1` once."""
    return _REPEATED.sub("", _SLASHES.sub("/", path)) or "/"


def normalize_paths(app: App) -> App:
    """Call `app` with the tidy path, and forbid caches to store the response.

    The scanner's service worker stores every GET for ever, errors too. `Vary: *` makes storing
    fail.
    """

    async def normalize(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)

        async def send_uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() != b"vary"]
                message = {**message, "headers": [*headers, *_NEVER_CACHED]}
            await send(message)

        path = tidy(scope["path"])
        normalized = {**scope, "path": path, "raw_path": path.encode()}
        cacheable = scope["method"] in ("GET", "HEAD")
        return await app(normalized, receive, send_uncached if cacheable else send)

    return normalize
