"""Routes with small bodies: a longer body is refused before authentication."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from services.gateway.doors.api.shop_route import MAX_BODY_BYTES, limited


class ShortRoute(APIRoute):
    """Refuses bodies beyond 64 KiB with 413."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return await handle(Request(request.scope, limited(request, MAX_BODY_BYTES)))

        return answer
