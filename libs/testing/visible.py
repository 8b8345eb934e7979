"""What the routes of an app say about when their writes are visible."""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from libs.http.visible import Visible


def awaited_models(app: FastAPI) -> set[str]:
    """The read models that some answer waits for."""
    needs = [
        need.call
        for context in iter_route_contexts(app.routes)
        for need in getattr(getattr(context, "dependant", None), "dependencies", ())
    ]
    return {model for call in needs if isinstance(call, Visible) for model in call.models}
