"""What the router answers beside the declared methods and paths: HEAD and trailing slashes.

HEAD gets the response to GET without its body (RFC 9110 §9.3.2). A path that differs from a route
by a trailing slash is redirected. Starlette's own redirect repeats the host of the request, which
an attacker may have chosen and a cache may keep for others; this one contains a path only.
"""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

END: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}
ENCODED: Final = "!$%&'()*+,-./:;<=>?@[]_~"
"""The characters that stay in a path or query that is percent-encoded already."""


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


class SlashRedirect:
    """A router's default for unknown paths: 307 to the other spelling, or the default before."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._default = router.default
        router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        location = self._location(scope) if scope["type"] == "http" else None
        if location is None:
            await self._default(scope, receive, send)
            return
        answer = Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"location": location})
        await answer(scope, receive, send)

    def _location(self, scope: Scope) -> str | None:
        other = dict(scope, path=_toggled(scope["path"]))
        if not other["path"] or not any(self._has(route, other) for route in self._router.routes):
            return None
        raw: Any = scope.get("raw_path") or quote(scope["path"])
        path = _toggled(quote(raw, safe=ENCODED).partition("?")[0])
        query = quote(scope["query_string"], safe=ENCODED)
        # Two leading slashes would be followed by a host.
        return "/" + path.lstrip("/") + (f"?{query}" if query else "")

    @staticmethod
    def _has(route: Any, scope: dict[str, Any]) -> bool:
        return route.matches(scope)[0] is not Match.NONE


def _toggled(path: str) -> str:
    """The path with a trailing slash if it has none, else without; empty for the root."""
    return path.rstrip("/") if path.endswith("/") else f"{path}/"
