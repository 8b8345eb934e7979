"""What every route of the scales' door shares: who calls, how no is said, what is fresh (§1.3)."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection

from libs.errors import Unauthenticated
from libs.eventsourcing.log import Cause
from libs.http.auth import Permission, Principal
from libs.http.problems import Problem, encodable
from libs.http.visible import visible
from libs.telemetry.traces import current_traceparent
from services.scale_bridge.catalogue.stores import contents
from services.scale_bridge.driver.domain.catalogue import Document

JSON: Final = "application/json"


class NotAuthenticated(Unauthenticated):
    """Not authenticated"""


class InvalidToken(Unauthenticated):
    """Invalid token"""


class Allowed(Permission):
    """Lets only callers with a scope in; says no as clients of the scales know it."""

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises NotAuthenticated, InvalidToken, Forbidden, Unavailable."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated
        try:
            return await super().__call__(request)
        except Unauthenticated:
            raise InvalidToken from None


LISTED: Final = visible("device")
"""Lists show what was just done (§1.4)."""
WORKED: Final = visible("device", "operation")

Reader = Annotated[Principal, Depends(Allowed("scales:read"))]
Writer = Annotated[Principal, Depends(Allowed("scales:write"))]


def shape(told: Problem) -> Response:
    """`{"detail": …}` as ever, and beside it the stable `code`; nothing of what was sent (R16)."""
    said = told.said if told.said is not None else told.detail or told.title
    if isinstance(said, list):
        said = [{**fault, "input": None} for fault in said]
    headers = dict(told.headers)
    if told.type == InvalidToken.__name__:
        headers.pop("WWW-Authenticate", None)
    body = {"detail": encodable(said), "code": told.type}
    return JSONResponse(body, told.status, headers=headers)


def unfit(*faults: tuple[tuple[str, ...], str]) -> HTTPException:
    """422 in FastAPI's words, for rules it does not know: where, and what is wrong."""
    listed = [
        {"type": "value_error", "loc": ["body", *where], "msg": said, "input": None}
        for where, said in faults
    ]
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, listed)


def cause_of(request: Request, caller: Principal) -> Cause:
    """On whose behalf a request appends."""
    return Cause(
        tenant=caller.tenant,
        actor=caller.subject,
        correlation_id=request.scope["request_id"],
        traceparent=current_traceparent(),
    )


async def catalogue(document: Document) -> Response:
    """The catalogue in its envelope: `{"products": {…, "products": […]}}` (§1.1)."""
    return Response(b'{"products":' + await contents.write(document) + b"}", media_type=JSON)


def problem(status: int, detail: str, code: str, retry_after: float | None = None) -> Response:
    """An answer to an operation that failed."""
    headers: dict[str, Any] = {}
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, round(retry_after)))
    return JSONResponse({"detail": detail, "code": code}, status, headers=headers)
