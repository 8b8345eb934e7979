"""A path that is there with, or without, a slash at its end: the client is sent to it.

Starlette's own redirect names the host that the request names, which the author of the link may
have chosen, or which a cache keeps for others. This one names a path alone.
"""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Match, Router
from starlette.types import Receive, Scope, Send

ENCODED: Final = "!$%&'()*+,-./:;<=>?@[]_~"
"""What stands for itself in a path or query that is percent-encoded already."""


class SlashRedirect:
    """What a router does with a path that none of its routes has: 307, or what it did before."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._otherwise = router.default
        router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        location = self._location(scope) if scope["type"] == "http" else None
        if location is None:
            await self._otherwise(scope, receive, send)
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
        # Two slashes at the beginning would name a host.
        return "/" + path.lstrip("/") + (f"?{query}" if query else "")

    @staticmethod
    def _has(route: Any, scope: dict[str, Any]) -> bool:
        return route.matches(scope)[0] is not Match.NONE


def _toggled(path: str) -> str:
    """With a slash at its end if it had none, else without; empty for the root."""
    return path.rstrip("/") if path.endswith("/") else f"{path}/"
