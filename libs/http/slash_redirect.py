"""Redirects between a path with a trailing slash and the same path without.

Starlette's own redirect repeats the host of the request, which an attacker may have chosen and a
cache may keep for others. This one contains a path only.
"""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Match, Router
from starlette.types import Receive, Scope, Send

ENCODED: Final = "!$%&'()*+,-./:;<=>?@[]_~"
"""The characters that stay in a path or query that is percent-encoded already."""


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
