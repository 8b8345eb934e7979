"""OpenAPI documents of the doors, merged from the services' own, cached for a minute."""

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
from services.gateway.proxy.domain import TOKEN, Document, demanding, described

KEPT_SECONDS: Final = 60.0
AWAY_SECONDS: Final = 5.0
"""How long it is believed that a service is away."""
MOST_BYTES: Final = 4 * 1024 * 1024


class Documents:
    """Asks a service at most once a minute, whoever reads."""

    def __init__(self, deps: Deps, local_routes: LocalRoutes) -> None:
        self._deps = deps
        self._local_routes = local_routes
        self._kept: dict[tuple[str, str], tuple[Document, float]] = {}
        self._making = asyncio.Lock()

    async def of(self, door: Door, base: str) -> Document:
        """What the door's clients may know; `base` is the path in front of theirs, or empty.

        While the service is away, only what we say ourselves, with a word about it.
        """
        async with self._making:
            now = asyncio.get_running_loop().time()
            kept = self._kept.get((door.name, base))
            if kept is not None and now < kept[1]:
                return kept[0]
            service = await self._published(door)
            document = described(
                door, service, self._own_document(door), base=base, version=VERSION
            )
            known = service is not None or not door.service
            if not known:
                document["info"]["description"] = "The service behind this door is away."
            until = now + (KEPT_SECONDS if known else AWAY_SECONDS)
            self._kept[door.name, base] = document, until
            return document

    async def _published(self, door: Door) -> Document | None:
        if not door.service:
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
        for path, method, scope in _demands(routes):
            operations = document.get("paths", {}).get(path, {})
            if method in operations:
                operations[method] = demanding(operations[method], scope, schemes=(TOKEN,))
        return document


def _demands(routes: Sequence[Any]) -> Iterator[tuple[str, str, str | None]]:
    """What each operation demands: a scope, empty for whoever is logged in, None for nothing."""
    for route in routes:
        demand = required_access(route)
        scope = None if demand is None else ""
        if isinstance(demand, Permission):
            scope = demand.scope
        for method in route.methods:
            yield route.path_format, method.lower(), scope
