"""The limit of a request's body: whatever is longer, declared or sent, is refused with 413."""

from http import HTTPStatus
from typing import Final

from fastapi import HTTPException, Request
from starlette.types import Message, Receive

SMALL_BODY_BYTES: Final = 64 * 1024
"""The limit of routes that take a form or a few fields."""


def limited(receive: Receive, declared: str | None, limit: int) -> Receive:
    """`receive` that raises HTTPException 413 as soon as more than `limit` bytes have arrived.

    Raises it at once if the `Content-Length`, `declared`, is larger.
    """
    # 20 digits exceed every limit; Python refuses to parse very long numbers.
    if declared is not None and declared.isdecimal() and int(declared[:20]) > limit:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return counted


def with_limit(request: Request, limit: int) -> Request:
    """The same request, whose body may have `limit` bytes at most. Raises HTTPException 413."""
    declared = request.headers.get("content-length")
    return Request(request.scope, limited(request.receive, declared, limit))
