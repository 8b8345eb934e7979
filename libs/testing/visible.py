"""Inspect which routes of an app wait until their writes are visible."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from libs.http.visible import Visible

WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def awaited_models(app: FastAPI) -> set[str]:
    """The read models that some route waits for."""
    return {model for _, visible in _routes(app) for one in visible for model in one.models}


def writes_without_wait(app: FastAPI) -> set[str]:
    """The paths of routes that may write and wait for no read model."""
    return {
        str(route.path)
        for route, visible in _routes(app)
        if not visible and WRITING & (getattr(route, "methods", None) or set())
    }


def _routes(app: FastAPI) -> Iterator[tuple[Any, list[Visible]]]:
    """Every route with its `Visible` dependencies."""
    for context in iter_route_contexts(app.routes):
        needs = getattr(getattr(context, "dependant", None), "dependencies", ())
        yield context, [need.call for need in needs if isinstance(need.call, Visible)]
