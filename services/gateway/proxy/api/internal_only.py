"""Middleware that hides internal routes from clients: metrics, session checks."""

from typing import Final

from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import App, Receive, Scope, Send
from services.gateway.doors.api.local_routes import door_of
from services.gateway.doors.api.peer import is_in, peer_of
from services.gateway.doors.domain.door import Shape
from services.gateway.settings import Settings

INTERNAL_PATHS: Final = frozenset({"/metrics"})
INTERNAL: Final = "/internal/"
FORWARDED: Final = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})


class InternalOnly:
    """ASGI middleware: internal routes answer 404 to callers outside of `metrics_networks`.

    It runs after `Doors`: a door's route of the same path is for the door's clients. A request
    through a proxy that is not trusted is rejected, whatever the proxy's address.
    """

    def __init__(self, app: App, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_local = scope["type"] == "http" and door_of(scope) is None
        path: str = scope["path"]
        internal = is_local and (path.rstrip("/") in INTERNAL_PATHS or path.startswith(INTERNAL))
        if internal and not self._is_internal_client(scope):
            return await fault.answer(send, Shape.DETAIL, fault.not_found())
        return await self._app(scope, receive, send)

    def _is_internal_client(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        trusted = self._settings.trusted_proxies
        client = scope.get("client")
        if not FORWARDED.isdisjoint(headers) and not is_in(client[0] if client else "", trusted):
            return False
        return is_in(peer_of(scope, headers, trusted).address, self._settings.metrics_networks)
