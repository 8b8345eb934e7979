"""Who may use the routes of an app, and which of them do not say."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.routing import BaseRoute

from libs.http.auth import Membership, Permission, public

# The app's own documentation.
DOCUMENTS: Final = frozenset({"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"})


def undeclared_routes(app: FastAPI) -> list[str]:
    """Routes that neither require a scope nor say that they are public. Must be empty."""
    return sorted(
        f"{','.join(sorted(getattr(context, 'methods', None) or ['*']))} {path}"
        for context, path in _routes(app.routes)
        if path not in DOCUMENTS and not _declared(context)
    )


def demands_of(context: Any) -> Permission | Membership | None:
    """What a route (as `iter_route_contexts` gives it) demands; None if it is open to everybody."""
    calls = _calls(context.dependant)
    return next((call for call in calls if isinstance(call, Permission | Membership)), None)


def _routes(routes: list[BaseRoute]) -> Iterator[tuple[Any, str]]:
    for context in iter_route_contexts(routes):
        yield context, getattr(context, "path", None) or str(context.original_route)


def _declared(context: Any) -> bool:
    if not isinstance(context.original_route, APIRoute | APIWebSocketRoute):
        # Mounts and plain Starlette routes cannot declare anything.
        return False
    return any(_declares(call) for call in _calls(context.dependant))


def _declares(call: object) -> bool:
    return call is public or isinstance(call, Permission | Membership)


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
