"""The OpenAPI document of a service, for whoever publishes it: at a path that no door leads to."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request

from libs.http.auth import public

SCHEMA: Final = "/internal/openapi.json"


def schema_router() -> APIRouter:
    """The document, also of a service that shows people none."""
    router = APIRouter(dependencies=[Depends(public)], include_in_schema=False)

    @router.get(SCHEMA)
    async def schema(request: Request) -> dict[str, Any]:
        """What this service answers."""
        document: dict[str, Any] = request.app.openapi()
        return document

    return router
