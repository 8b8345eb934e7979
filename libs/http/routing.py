"""What the router answers beside the declared methods and paths: HEAD and trailing slashes.

HEAD gets the response to GET without its body (RFC 9110 §9.3.2). A path that differs from a route
by a trailing slash is answered like the route, not redirected: some clients do not repeat a body or
their credentials at another address.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

END: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}


class HeadAsGet:
    """ASGI middleware around routes that have GET only.

    The response ends after its head; a stream is cut off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        head = _Head(receive, send)
        try:
            # In place, since metrics find the matched route in this scope.
            scope["method"] = "GET"
            await self.app(scope, head.receive, head.send)
        except Exception:
            # Errors of a stream that was cut off do not matter: the client has its response.
            if not head.is_cut_off:
                raise


class _CutOff(OSError):
    """Looks to a stream like a disconnected client."""


class _Head:
    """Receives and sends for a HEAD request; `is_cut_off` after a body of several messages."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.is_cut_off = False
        self._is_sent = False
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        return {"type": "http.disconnect"} if self._is_sent else await self._receive()

    async def send(self, message: Message) -> None:
        if not self._is_sent:
            await self._send(message)
            if message["type"] == "http.response.start":
                self._is_sent = True
                await self._send(END)
        elif message.get("more_body"):
            self.is_cut_off = True
            raise _CutOff


def ignore_trailing_slash(routes: Sequence[BaseRoute]) -> None:
    """Let the HTTP routes match their path with and without a slash at its end.

    The path as declared stays the one that documents show. A route whose last parameter takes
    slashes itself stays as it is.
    """
    for context in iter_route_contexts(routes):
        # A route of an included router has its path in the context of its inclusion.
        route: Any = context._route_context or context.route
        path = context.path or "/"
        if not isinstance(context.original_route, Route) or path == "/" or ":path}" in path:
            continue
        without_slash, _, _ = compile_path(path.rstrip("/"))
        route.path_regex = re.compile(without_slash.pattern.removesuffix("$") + "/?$")
