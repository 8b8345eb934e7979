"""Routes with the refusals of the shop's clients, and the limit of small bodies."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from services.gateway.doors.api.small_body import MAX_BODY_BYTES, limited

MOST_FAULTS: Final = 20


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
