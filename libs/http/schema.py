"""The OpenAPI document of a service at an internal path, for the gateway, which publishes it."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request

from libs.http.auth import public

SCHEMA: Final = "/internal/openapi.json"


def schema_router() -> APIRouter:
    """The route of the document, also for a service that does not show it itself."""
    router = APIRouter(dependencies=[Depends(public)], include_in_schema=False)

    @router.get(SCHEMA)
    async def schema(request: Request) -> dict[str, Any]:
        """The OpenAPI document of this service."""
        document: dict[str, Any] = request.app.openapi()
        return document

    return router
