"""The gateway's own routes at the doors: under a door's prefix, or at its host."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from services.gateway.doors.api.cors import Scope
from services.gateway.doors.domain.door import Door, Entry

DOORS_OF: Final[Mapping[str, str]] = {"auth": "shop", "telegram": "shop"}
"""The door by tag, for tags other than the door's name."""

EVERYWHERE: Final = frozenset({"docs", "identity", "oauth"})
"""The tags of routes that every door has."""

DOOR: Final = "tillstream.door"
"""The key in the scope for the name of the door, for requests with its prefix or host."""


class LocalRoutes:
    """The routes of an app by door, according to their tags.

    A tag is the name of a door, or in `DOORS_OF`; a route may have several. At the root of a
    gateway without bound hosts all routes answer.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [(_doors(context), context) for context in _described(routes)]
        # Most requests are for paths without parameters.
        self._by_path: defaultdict[str, set[str]] = defaultdict(set)
        for doors, route in self._routes:
            if not route.param_convertors:
                self._by_path[route.path_format.rstrip("/")] |= doors

    def route_to(self, scope: Scope, entry: Entry) -> bool:
        """Rewrite `scope` to a request for the route at the door; False if there is none.

        The prefix becomes the scope's `root_path`: routes have their paths without it.
        """
        path = unquote(entry.path)
        if not (
            self._is_literal(entry, path)
            or any(self._answers(doors, route, entry, path) for doors, route in self._routes)
        ):
            return False
        if not entry.shared:
            scope[DOOR] = entry.door.name
            scope["root_path"] = entry.prefix
        scope["path"] = entry.prefix + path
        scope["raw_path"] = (entry.prefix + entry.path).encode("latin-1")
        return True

    def routes_of(self, door: Door) -> Sequence[Any]:
        """The routes that the door has."""
        return [route for doors, route in self._routes if door.name in doors or doors & EVERYWHERE]

    def _is_literal(self, entry: Entry, path: str) -> bool:
        """Whether a route without parameters has this path. If not, a pattern may match."""
        doors = self._by_path.get(path.rstrip("/"))
        return doors is not None and (
            entry.shared or entry.door.name in doors or not doors.isdisjoint(EVERYWHERE)
        )

    def _answers(self, doors: frozenset[str], route: Any, entry: Entry, path: str) -> bool:
        if not (entry.shared or entry.door.name in doors or doors & EVERYWHERE):
            return False
        return route.path_regex.match(path) is not None


def door_of(scope: Scope) -> str | None:
    """The name of the door whose prefix or host a request had; None at the root."""
    name: str | None = scope.get(DOOR)
    return name


def _described(routes: Sequence[BaseRoute]) -> Iterator[Any]:
    for context in iter_route_contexts(routes):
        if getattr(context, "path_regex", None) is not None:
            yield context


def _doors(context: Any) -> frozenset[str]:
    tags = [str(tag) for tag in getattr(context, "tags", None) or ()]
    return frozenset(DOORS_OF.get(tag, tag) for tag in tags)
