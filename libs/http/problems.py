"""Exceptions as HTTP responses: RFC 9457, or the shape that the clients of a door know."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import responses as PHRASES  # noqa: N812 - a constant under a plain name
from string import capwords
from typing import Any, Final, TypeAlias

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from libs.errors import (
    Forbidden,
    NotFound,
    Refused,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unfit,
)
from libs.http.rate_limits import too_many_headers
from libs.postgres.pool import is_connection_lost

STATUS: dict[type[Refused], int] = {
    NotFound: 404,
    Forbidden: 403,
    Unfit: 422,
    Unauthenticated: 401,
    TooManyRequests: 429,
    Refused: 409,
}
EXPECTED: Final = (Refused, HTTPException, RequestValidationError, Unavailable)
"""Exceptions that handlers raise on purpose. `Edge` answers all others with 500."""

# A hostile request may hold thousands of faults.
MAX_FAULTS = 100
DEPTH = 16
DIGITS = 300

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What went wrong, before it takes a shape.

    `type` is the stable code, `title` the sentence for people. `fastapi_detail` is what FastAPI
    itself would answer under `detail`: a text, the list of faults of a 422, or the detail of an
    `HTTPException`.
    """

    type: str
    title: str
    status: int
    detail: str | None = None
    fastapi_detail: Any = None
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


ProblemShape: TypeAlias = Callable[[Problem], Response]
"""Makes the response of a problem. The request id is in its header in any shape."""


def rfc9457_shape(problem: Problem) -> Response:
    """RFC 9457: `type`, `title`, `status`, `detail`, `request_id`, and `errors` of a 422.

    The default. Services whose clients know another shape give theirs to `create_app`.
    """
    body: dict[str, Any] = {"type": problem.type, "title": problem.title, "status": problem.status}
    if problem.detail is not None:
        body["detail"] = problem.detail
    faults = problem.fastapi_detail
    if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY and isinstance(faults, list):
        body["errors"] = [_without_input(fault) for fault in faults[:MAX_FAULTS]]
    if problem.request_id is not None:
        body["request_id"] = problem.request_id
    return JSONResponse(
        encodable(body),
        problem.status,
        headers=dict(problem.headers),
        media_type="application/problem+json",
    )


def detail_shape(problem: Problem) -> Response:
    """`{"detail": ...}` as plain FastAPI answers it."""
    detail = problem.fastapi_detail
    if detail is None:
        detail = problem.detail or problem.title
    return JSONResponse(
        {"detail": encodable(detail)}, problem.status, headers=dict(problem.headers)
    )


def redacted_detail_shape(problem: Problem) -> Response:
    """`detail_shape` without the values that were sent, which may be passwords."""
    detail = problem.fastapi_detail
    if isinstance(detail, list):
        detail = [{**fault, "input": None} for fault in detail]
    return detail_shape(replace(problem, fastapi_detail=detail))


def problem_of(error: Exception) -> Problem:
    """What an exception means to the caller. Unexpected ones are a 500 that reveals nothing."""
    match error:
        case Refused():
            return _refusal(error)
        case RequestValidationError():
            return Problem(
                type="Invalid",
                title="The request does not have the agreed form.",
                status=422,
                fastapi_detail=[_fault(fault) for fault in error.errors()],
            )
        case HTTPException():
            return _http(error)
        case Unavailable(retry_after_seconds=seconds):
            return _unavailable(seconds)
        case _ if is_connection_lost(error):
            return _unavailable(Unavailable().retry_after_seconds)
        case _:
            title = "Something went wrong on our side."
            return Problem(type="InternalError", title=title, status=500)


def status_of(error: Refused) -> int:
    """The status of the nearest class that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer(shape: ProblemShape, error: Exception, request_id: str | None) -> Response:
    """The shaped answer to an exception, carrying the request's id."""
    problem = problem_of(error)
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("unavailable", error=type(error.__cause__ or error).__name__)
    return shape(replace(problem, request_id=request_id))


def add_problems(app: FastAPI, shape: ProblemShape = rfc9457_shape) -> None:
    """Answer every expected exception of the app in one shape."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer(shape, error, request.scope.get("request_id"))

    for kind in EXPECTED:
        app.add_exception_handler(kind, handle)


def encodable(value: Any, depth: int = DEPTH) -> Any:
    """The value as JSON can hold it: no NaN, no lone surrogate, at most `depth` levels."""
    if isinstance(value, Mapping | list | tuple | set):
        if not depth:
            return "..."
        if isinstance(value, Mapping):
            return {str(encodable(k)): encodable(v, depth - 1) for k, v in value.items()}
        return [encodable(item, depth - 1) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return value.encode("utf-8", "replace").decode()
        case bytes():
            return value.decode("utf-8", "replace")
        case int():
            return value if abs(value) < 10**DIGITS else "a number too long to repeat"
        case float():
            return value if math.isfinite(value) else str(value)
        case _:
            return _scalar(str(value))


def _refusal(error: Refused) -> Problem:
    title = inspect.getdoc(type(error)) or type(error).__name__
    status = status_of(error)
    return Problem(
        type=type(error).__name__,
        title=title,
        status=status,
        detail=None if str(error) in (title, type(error).__doc__, "None") else str(error),
        headers=_headers_of(error),
    )


def _headers_of(error: Refused) -> Mapping[str, str]:
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case TooManyRequests(retry_after_seconds=seconds, limit=limit):
            return too_many_headers(seconds, limit)
        case _:
            return {}


def _http(error: HTTPException) -> Problem:
    phrase = PHRASES.get(error.status_code, "Error")
    # Typed as a text, but FastAPI's may hold anything.
    detail: Any = error.detail
    text = detail if isinstance(detail, str) else None
    return Problem(
        type="".join(filter(str.isalnum, capwords(phrase))),
        title=phrase,
        status=error.status_code,
        detail=None if text == phrase else text,
        fastapi_detail=detail,
        headers=error.headers or {},
    )


def _unavailable(seconds: int) -> Problem:
    return Problem(
        type="Unavailable",
        title="Something this service needs is away for the moment; try again shortly.",
        status=503,
        headers={"Retry-After": str(seconds)},
    )


def _fault(error: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: error.get(name) for name in ("type", "loc", "msg", "input")}
    return kept | ({"ctx": error["ctx"]} if "ctx" in error else {})


def _without_input(fault: Mapping[str, Any]) -> dict[str, Any]:
    # Repeating the input would make a large response of a small request.
    return {name: fault[name] for name in ("type", "loc", "msg")}
