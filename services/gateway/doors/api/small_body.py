"""Routes with small bodies: a longer body is refused before authentication."""

from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

MAX_BODY_BYTES: Final = 64 * 1024

Receive: TypeAlias = Callable[[], Awaitable[Any]]


class SmallBodyRoute(APIRoute):
    """Refuses bodies beyond 64 KiB with 413."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return await handle(Request(request.scope, limited(request, MAX_BODY_BYTES)))

        return answer


def limited(request: Request, most: int) -> Receive:
    """The `receive` of a request that raises HTTPException 413 beyond `most` bytes.

    A larger `Content-Length` is refused at once.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    received = 0

    async def counted() -> Any:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return counted
