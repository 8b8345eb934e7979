"""Routes with the refusals of the shop's clients, and the limit of small bodies."""

from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

MAX_BODY_BYTES: Final = 64 * 1024
MOST_FAULTS: Final = 20

Receive: TypeAlias = Callable[[], Awaitable[Any]]


class ShopRoute(APIRoute):
    """Answers 422 with a text under `detail` and the list of faults under `errors` (spec shop §1).

    The shop's pages show `detail` as it is, and break on a list. A body beyond `MAX_BODY_BYTES` is
    refused with 413.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(Request(request.scope, limited(request, MAX_BODY_BYTES)))
            except RequestValidationError as error:
                return invalid(error)

        return answer


def invalid(error: RequestValidationError) -> JSONResponse:
    """The 422 of a request, without its content."""
    faults = [
        {name: fault[name] for name in ("type", "loc", "msg")}
        for fault in error.errors()[:MOST_FAULTS]
    ]
    names = [fault["loc"][1] for fault in faults if len(fault["loc"]) > 1]
    fields = sorted({name for name in names if isinstance(name, str)})
    named = f": {', '.join(fields)}" if fields else ""
    return JSONResponse({"detail": f"Проверьте данные запроса{named}", "errors": faults}, 422)


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
