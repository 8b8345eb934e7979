"""The access that routes declare, and the routes that declare none."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from starlette.routing import BaseRoute

from libs.http.auth import KindPermission, Permission, public

# The app's own documentation.
DOCUMENTS: Final = frozenset({"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"})


def undeclared_routes(app: FastAPI) -> list[str]:
    """Routes that declare neither a permission nor `public`. Must be empty."""
    return sorted(
        f"{','.join(sorted(getattr(context, 'methods', None) or ['*']))} {path}"
        for context, path in _routes(app.routes)
        if path not in DOCUMENTS and not _declared(context)
    )


def required_access(context: Any) -> Permission | KindPermission | None:
    """What a route (as `iter_route_contexts` gives it) demands of callers; None if it is public."""
    calls = _calls(context.dependant)
    return next((call for call in calls if isinstance(call, Permission | KindPermission)), None)


def declares_access(context: Any) -> bool:
    """Whether a route declares a permission or `public`."""
    return any(_declares(call) for call in _calls(context.dependant))


def _routes(routes: list[BaseRoute]) -> Iterator[tuple[Any, str]]:
    for context in iter_route_contexts(routes):
        yield context, getattr(context, "path", None) or str(context.original_route)


def _declared(context: Any) -> bool:
    if not isinstance(context.original_route, APIRoute | APIWebSocketRoute):
        # Mounts and plain Starlette routes cannot declare anything.
        return False
    return declares_access(context)


def _declares(call: object) -> bool:
    return call is public or isinstance(call, Permission | KindPermission)


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
