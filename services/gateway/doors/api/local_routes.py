"""The gateway's own routes at the doors they belong to: under a door's prefix, or at its host."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from services.gateway.doors.api.cors import Scope
from services.gateway.doors.domain.door import Door, Entry

DOORS_OF: Final[Mapping[str, str]] = {"auth": "shop", "telegram": "shop"}
"""The door of a tag that is not named like one."""

EVERYWHERE: Final = frozenset({"docs", "identity", "oauth"})
"""Tags of routes that answer at every door."""

DOOR: Final = "tillstream.door"
"""In the scope of a request that came in at a door of its own: the door's name."""


class LocalRoutes:
    """Which of an app's routes answer at which door, by their tags.

    A tag is the name of a door, or in `DOORS_OF`; a route of several doors has several. At the root
    of a gateway without bound hosts they all answer.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [(_doors(context), context) for context in _described(routes)]
        # Most are asked for by a path without parameters.
        self._by_path: defaultdict[str, set[str]] = defaultdict(set)
        for doors, route in self._routes:
            if not route.param_convertors:
                self._by_path[route.path_format] |= doors

    def route_to(self, scope: Scope, entry: Entry) -> bool:
        """Make `scope` a request for our own route at the door; whether there is one.

        The prefix becomes the scope's `root_path`, so that a redirect stays at the door.
        """
        path = unquote(entry.inner)
        if not (
            self._is_literal(entry, path)
            or any(self._answers(doors, route, entry, path) for doors, route in self._routes)
        ):
            return False
        if not entry.shared:
            scope[DOOR] = entry.door.name
            scope["root_path"] = entry.prefix
        scope["path"] = entry.prefix + path
        scope["raw_path"] = (entry.prefix + entry.inner).encode("latin-1")
        return True

    def routes_of(self, door: Door) -> Sequence[Any]:
        """Those that the door's clients find there."""
        return [route for doors, route in self._routes if door.name in doors or doors & EVERYWHERE]

    def _is_literal(self, entry: Entry, path: str) -> bool:
        """Whether a route's path is just this; if not, one may answer nevertheless."""
        doors = self._by_path.get(path)
        return doors is not None and (
            entry.shared or entry.door.name in doors or not doors.isdisjoint(EVERYWHERE)
        )

    def _answers(self, doors: frozenset[str], route: Any, entry: Entry, path: str) -> bool:
        if not (entry.shared or entry.door.name in doors or doors & EVERYWHERE):
            return False
        # Without its last slash it is there too: the app answers with a redirect.
        return any(route.path_regex.match(each) for each in {path, path.rstrip("/") or "/"})


def door_of(scope: Scope) -> str | None:
    """The door that a request for a route of ours came in at, if it was one's own."""
    name: str | None = scope.get(DOOR)
    return name


def _described(routes: Sequence[BaseRoute]) -> Iterator[Any]:
    for context in iter_route_contexts(routes):
        if getattr(context, "path_regex", None) is not None:
            yield context


def _doors(context: Any) -> frozenset[str]:
    tags = [str(tag) for tag in getattr(context, "tags", None) or ()]
    return frozenset(DOORS_OF.get(tag, tag) for tag in tags)
