"""What exceptions mean to clients, before the meaning takes a shape: see `libs.http.shapes`."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import responses as PHRASES  # noqa: N812 - a constant under a plain name
from string import capwords
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from libs.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    Refused,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unfit,
)
from libs.http.rate_limits import too_many_headers
from libs.postgres.idempotency import InFlight
from libs.postgres.pool import is_connection_lost

STATUS: dict[type[Refused], int] = {
    NotFound: 404,
    Forbidden: 403,
    BadRequest: 400,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What went wrong, before it takes a shape.

    `type` is the stable code, `title` the sentence for people. `fastapi_detail` is what FastAPI
    itself would answer under `detail`: a text, the list of faults of a 422, or the detail of an
    `HTTPException`. `details` are further fields that a shape may have.
    """

    type: str
    title: str
    status: int
    detail: str | None = None
    fastapi_detail: Any = None
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> Any:
        """What FastAPI would answer, otherwise the most specific sentence."""
        return self.fastapi_detail if self.fastapi_detail is not None else self.detail or self.title

    @property
    def faults(self) -> list[Any]:
        """The faults that FastAPI would answer, if any."""
        return self.fastapi_detail if isinstance(self.fastapi_detail, list) else []


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
        case InFlight(retry_after_seconds=seconds):
            return {"Retry-After": str(seconds)}
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
