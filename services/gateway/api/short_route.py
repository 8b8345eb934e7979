"""Routes of our own with small bodies: what is long or slow is cut off before anybody is asked."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from services.gateway.api.shop_route import MAX_BODY_BYTES, Receive, limited
from services.gateway.deps import Deps


class ShortRoute(APIRoute):
    """413 for a body beyond 64 KiB, 408 for one that takes longer than `GATEWAY_BODY_SECONDS`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            deps: Deps = request.app.state.deps
            receive = limited(request, MAX_BODY_BYTES)
            return await handle(
                Request(request.scope, in_time(receive, deps.settings.body_seconds))
            )

        return answer


def in_time(receive: Receive, seconds: float) -> Receive:
    """The same, all within so many seconds. Raises HTTPException 408."""
    until = asyncio.get_running_loop().time() + seconds

    async def hurried() -> Any:
        try:
            async with asyncio.timeout_at(until):
                return await receive()
        except TimeoutError:
            raise HTTPException(408, headers={"Connection": "close"}) from None

    return hurried
