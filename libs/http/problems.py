"""Refusals and mistakes as HTTP answers: RFC 9457, or the shape a door's clients know."""

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
"""What handlers raise to say no; anything else is a mistake of ours, and `Edge`'s to answer."""

# Enough to mend a request by; a hostile one may hold thousands.
MOST_FAULTS = 100
DEPTH = 16
DIGITS = 300

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What went wrong, before it takes a shape.

    `type` is the stable code, `title` the sentence for people. `said` is what FastAPI itself would
    answer under `detail`: a text, the list of faults of a 422, or whatever an `HTTPException` held.
    """

    type: str
    title: str
    status: int
    detail: str | None = None
    said: Any = None
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


ProblemShape: TypeAlias = Callable[[Problem], Response]
"""Makes the answer. The request id is in its header anyhow."""


def problem(told: Problem) -> Response:
    """RFC 9457: `type`, `title`, `status`, `detail`, `request_id`, and `errors` of a 422."""
    body: dict[str, Any] = {"type": told.type, "title": told.title, "status": told.status}
    if told.detail is not None:
        body["detail"] = told.detail
    if told.status == HTTPStatus.UNPROCESSABLE_ENTITY and isinstance(told.said, list):
        body["errors"] = [_without_input(fault) for fault in told.said[:MOST_FAULTS]]
    if told.request_id is not None:
        body["request_id"] = told.request_id
    return JSONResponse(
        encodable(body),
        told.status,
        headers=dict(told.headers),
        media_type="application/problem+json",
    )


def detail_shape(told: Problem) -> Response:
    """`{"detail": ...}` as plain FastAPI answers it."""
    said = told.said if told.said is not None else told.detail or told.title
    return JSONResponse({"detail": encodable(said)}, told.status, headers=dict(told.headers))


def discreet_detail_shape(told: Problem) -> Response:
    """The same without a word of what was sent, which may have been a password."""
    said = told.said
    if isinstance(said, list):
        said = [{**fault, "input": None} for fault in said]
    return detail_shape(replace(told, said=said))


def problem_of(error: Exception) -> Problem:
    """What an exception means to the caller. Unknown ones are our mistake and tell nothing."""
    match error:
        case Refused():
            return _refusal(error)
        case RequestValidationError():
            return Problem(
                type="Invalid",
                title="The request does not have the agreed form.",
                status=422,
                said=[_fault(found) for found in error.errors()],
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
    told = problem_of(error)
    if told.status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("unavailable", error=type(error.__cause__ or error).__name__)
    return shape(
        Problem(
            type=told.type,
            title=told.title,
            status=told.status,
            detail=told.detail,
            said=told.said,
            request_id=request_id,
            headers=told.headers,
        )
    )


def add_problems(app: FastAPI, shape: ProblemShape = problem) -> None:
    """Answer every expected exception of the app in one shape; the rest is `Edge`'s."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer(shape, error, request.scope.get("request_id"))

    for kind in EXPECTED:
        app.add_exception_handler(kind, handle)


def encodable(value: Any, depth: int = DEPTH) -> Any:
    """The value in words JSON has: no NaN, no lone surrogate, nothing endless."""
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
    said: Any = error.detail
    text = said if isinstance(said, str) else None
    return Problem(
        type="".join(filter(str.isalnum, capwords(phrase))),
        title=phrase,
        status=error.status_code,
        detail=None if text == phrase else text,
        said=said,
        headers=error.headers or {},
    )


def _unavailable(seconds: int) -> Problem:
    return Problem(
        type="Unavailable",
        title="Something this service needs is away for the moment; try again shortly.",
        status=503,
        headers={"Retry-After": str(seconds)},
    )


def _fault(found: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: found.get(name) for name in ("type", "loc", "msg", "input")}
    return kept | ({"ctx": found["ctx"]} if "ctx" in found else {})


def _without_input(fault: Mapping[str, Any]) -> dict[str, Any]:
    # The caller knows what was sent; repeating it all would make a large answer of a small one.
    return {name: fault[name] for name in ("type", "loc", "msg")}
