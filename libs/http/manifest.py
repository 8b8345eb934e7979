"""What a gateway must know of a service's routes, declared at the routes themselves.

The scope is what the route demands (`libs.http.auth`). Rate class and slowness are declared by
`traffic`, above the endpoint and below the router's decorator; `unpublished` keeps a route
from the gateway. `manifest` lists them; `contracts/routes/<service>.json` is that list.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts

from libs.http.auth import Permission
from libs.http.undeclared import declares_access, required_access

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

USUAL: Final = "dashboard"
"""The rate class of a route that names no other."""
WEBSOCKET: Final = "(websocket)"
"""The method of a route that takes WebSockets: no method of HTTP can be spelled like this."""

_KEY: Final = "__traffic__"
_PARAMETER: Final = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Traffic:
    """How requests for a route are counted and waited for."""

    limit: str = USUAL
    slow: bool = False
    published: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRoute:
    """A route as the gateway lets requests through to it; `{}` in `path` is one segment.

    Without a `scope` it is open to everybody. `limit` is the rate class, `slow` routes wait for
    something outside.
    """

    method: str
    path: str
    scope: str | None
    limit: str
    slow: bool = False


def traffic(limit: str = USUAL, *, slow: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Declare the rate class of a route, and whether it waits for something outside."""
    return _marked(Traffic(limit, slow))


def unpublished(endpoint: Endpoint) -> Endpoint:
    """Declare that the gateway lets no request through to a route."""
    return _marked(Traffic(published=False))(endpoint)


def manifest(routers: Iterable[APIRouter]) -> list[PublishedRoute]:
    """The published routes, in the order in which the service tries them.

    Raises TypeError if one demands something other than a scope, or declares no access.
    """
    routes = iter_route_contexts([route for router in routers for route in router.routes])
    return [
        PublishedRoute(
            method=method,
            path=_PARAMETER.sub("{}", route.path or ""),
            scope=_scope(route),
            limit=of.limit,
            slow=of.slow,
        )
        for route in routes
        if isinstance(route.original_route, APIRoute | APIWebSocketRoute)
        and (of := getattr(route.original_route.endpoint, _KEY, Traffic())).published
        for method in _methods(route)
    ]


def encoded(routes: Iterable[PublishedRoute]) -> str:
    """The file of a manifest: one route a line."""
    lines = ",\n".join(f"  {json.dumps(_short(route))}" for route in routes)
    return f"[\n{lines}\n]\n"


def _short(route: PublishedRoute) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(route).items() if value is not False}


def _marked(traffic: Traffic) -> Callable[[Endpoint], Endpoint]:
    def mark(endpoint: Endpoint) -> Endpoint:
        if _KEY in vars(endpoint):
            raise TypeError(f"{endpoint.__qualname__} has its traffic declared already")
        setattr(endpoint, _KEY, traffic)
        return endpoint

    return mark


def _methods(route: Any) -> Iterator[str]:
    if isinstance(route.original_route, APIWebSocketRoute):
        yield WEBSOCKET
    else:
        yield from sorted(route.methods or ())


def _scope(route: Any) -> str | None:
    if not declares_access(route):
        raise TypeError(f"{route.path} declares no access")
    demands = required_access(route)
    if demands is not None and not isinstance(demands, Permission):
        raise TypeError(f"{route.path} demands something other than a scope")
    return None if demands is None else demands.scope
