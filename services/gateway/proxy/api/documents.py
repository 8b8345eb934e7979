"""OpenAPI documents of the doors: the service's and the gateway's routes, cached for a minute."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi

from libs.http.auth import Permission
from libs.http.schema import SCHEMA
from libs.http.undeclared import required_access
from services.gateway.context import Deps
from services.gateway.doors.api.local_routes import LocalRoutes
from services.gateway.doors.api.system import VERSION
from services.gateway.doors.domain.door import Door
from services.gateway.proxy.domain import Document, door_document, schemes_of, with_security

KEPT_SECONDS: Final = 60.0
AWAY_SECONDS: Final = 5.0
"""How long a document without the service is cached."""
AWAY: Final = "\n\n**The service behind this door is away: its operations are missing here.**"
NOT_INSTALLED: Final = "\n\n**The service behind this door is not installed: it answers 503.**"
MOST_BYTES: Final = 4 * 1024 * 1024


class Documents:
    """The documents. Each service is asked once a minute at most."""

    def __init__(self, deps: Deps, local_routes: LocalRoutes) -> None:
        self._deps = deps
        self._local_routes = local_routes
        self._cache: dict[tuple[str, str], tuple[Document, float]] = {}
        self._lock = asyncio.Lock()

    async def of(self, door: Door, base: str) -> Document:
        """The document of a door; `base` is the door's prefix if clients use it, or empty.

        While the service is away it has the gateway's own routes only, and says so.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            cached = self._cache.get((door.name, base))
            if cached is not None and now < cached[1]:
                return cached[0]
            service = await self._published(door)
            document = door_document(
                door, service, self._own_document(door), base=base, version=VERSION
            )
            is_complete = service is not None or not door.rules
            if service is None:
                document["info"]["description"] += AWAY if door.rules else NOT_INSTALLED
            until = now + (KEPT_SECONDS if is_complete else AWAY_SECONDS)
            self._cache[door.name, base] = document, until
            return document

    async def _published(self, door: Door) -> Document | None:
        if not door.rules:
            return None
        upstream = self._deps.upstreams[door.service]
        content = await upstream.document(SCHEMA, most=MOST_BYTES)
        try:
            return None if content is None else msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.MsgspecError:
            return None

    def _own_document(self, door: Door) -> Document:
        routes = self._local_routes.routes_of(door)
        document = get_openapi(title="", version=VERSION, routes=routes)
        schemes = schemes_of(door)
        for path, method, scope in _scopes(routes):
            operations = document.get("paths", {}).get(path, {})
            if method in operations:
                operations[method] = with_security(operations[method], scope, schemes=schemes)
        return document


def _scopes(routes: Sequence[Any]) -> Iterator[tuple[str, str, str | None]]:
    """The scope of each operation: empty for any caller who is logged in, None for public ones."""
    for route in routes:
        permission = required_access(route)
        scope = None if permission is None else ""
        if isinstance(permission, Permission):
            scope = permission.scope
        for method in route.methods:
            yield route.path_format, method.lower(), scope
