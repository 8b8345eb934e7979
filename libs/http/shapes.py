"""The bodies of failures, as tables: what the clients of each product expect, and one renderer.

An `ErrorShape` is data. A service gives it to `create_app`, or a router to its routes by a
`ShapedRoute`; both add rows of their own with `dataclasses.replace`. The shapes here are the forms
themselves, with the words that several programs use.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, ClassVar, Final, TypeAlias

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from libs.errors import Refused
from libs.http.body_limit import SMALL_BODY_BYTES, with_limit
from libs.http.problems import EXPECTED, MAX_FAULTS, Problem, encodable, problem_of
from libs.postgres.idempotency import KeyReused

CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
INVALID: Final = "VALIDATION_ERROR"
MAX_TEXT_FAULTS: Final = 20

Scope: TypeAlias = Mapping[str, Any]
Body: TypeAlias = Callable[[Problem], Mapping[str, Any]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The answer to one class of exceptions.

    `text` is a sentence or, of a 422, a list of faults. Without a `code` it is the shape's for the
    status. `details` are further fields. `headers` replace those of the problem if they are given.
    """

    status: int
    code: str = ""
    text: Any = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None


MakeRow: TypeAlias = Callable[[Any, Scope], ErrorRow]
"""Makes the row of one exception, in the ASGI scope of its request."""


@dataclass(frozen=True, kw_only=True)
class ErrorShape:
    """How clients expect failures; `body` makes the content from a problem.

    The row of the nearest class of an exception counts. Without one the problem has its own text,
    or that of its status in `texts`, and the code of its status in `codes`, else its own one. With
    a `fallback`, statuses without a code have that shape. `headers` are added by status.
    """

    body: Body
    rows: Mapping[type[Exception], ErrorRow | MakeRow] = field(default_factory=dict)
    codes: Mapping[int, str] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)
    headers: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    media_type: str = "application/json"
    fallback: "ErrorShape | None" = None

    def with_rows(self, rows: Mapping[type[Exception], ErrorRow | MakeRow]) -> "ErrorShape":
        """This shape with more rows."""
        return replace(self, rows={**self.rows, **rows})

    def response(self, problem: Problem) -> Response:
        """The response to a problem of no class of the table."""
        if problem.status in self.texts:
            text = self.texts[problem.status]
            problem = replace(problem, title=text, detail=None, fastapi_detail=None)
        if (code := self.codes.get(problem.status)) is not None:
            return self._rendered(replace(problem, type=code))
        return self._rendered(problem) if self.fallback is None else self.fallback.response(problem)

    def response_to(self, error: Exception, scope: Scope) -> Response:
        """The response to an exception, raised for the request of an ASGI scope."""
        problem = replace(problem_of(error), request_id=scope.get("request_id"))
        kind = next((one for one in type(error).__mro__ if one in self.rows), None)
        if kind is None:
            return self.response(problem)
        row = self.rows[kind]
        return self._rendered(
            self._with_row(problem, row if isinstance(row, ErrorRow) else row(error, scope))
        )

    def _with_row(self, problem: Problem, row: ErrorRow) -> Problem:
        is_text = isinstance(row.text, str)
        return replace(
            problem,
            type=row.code or self.codes.get(row.status, problem.type),
            title=row.text if is_text else problem.title,
            status=row.status,
            detail=None,
            fastapi_detail=None if is_text else row.text,
            details=row.details,
            headers=problem.headers if row.headers is None else row.headers,
        )

    def _rendered(self, problem: Problem) -> Response:
        return JSONResponse(
            encodable(self.body(problem)),
            problem.status,
            headers={**problem.headers, **self.headers.get(problem.status, {})},
            media_type=self.media_type,
        )


def problem_body(problem: Problem) -> dict[str, Any]:
    """RFC 9457: `type`, `title`, `status`, `detail`, `request_id`, and `errors` of a 422."""
    body: dict[str, Any] = {"type": problem.type, "title": problem.title, "status": problem.status}
    if problem.detail is not None:
        body["detail"] = problem.detail
    if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY and problem.faults:
        body["errors"] = plain_faults(problem.faults[:MAX_FAULTS])
    if problem.request_id is not None:
        body["request_id"] = problem.request_id
    return body


def detail_body(problem: Problem) -> dict[str, Any]:
    """`{"detail": …}` as FastAPI answers it, and the details."""
    return {"detail": problem.content, **problem.details}


def redacted_detail_body(problem: Problem) -> dict[str, Any]:
    """`detail_body` without the values that were sent, which may be passwords."""
    return {"detail": _redacted(problem.content), **problem.details}


def coded_body(problem: Problem) -> dict[str, Any]:
    """`{"detail": …, "code": …}`, without the values that were sent."""
    return {"detail": _redacted(problem.content), "code": problem.type}


def traced_body(problem: Problem) -> dict[str, Any]:
    """`coded_body` and the id of the request."""
    return {**coded_body(problem), "request_id": problem.request_id}


def envelope_body(problem: Problem) -> dict[str, Any]:
    """`{"error": {"code", "message", "details"}}`."""
    error = {"code": problem.type, "message": problem.title, "details": problem.details}
    return {"error": error}


def plain_faults(faults: list[Any]) -> list[dict[str, Any]]:
    """The faults of a 422 with kind, place and message only: repeating the input would make a large
    response of a small request."""
    return [{name: fault[name] for name in ("type", "loc", "msg")} for fault in faults]


def _redacted(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [{**fault, "input": None} for fault in content]


def _envelope_faults(error: RequestValidationError, _: Scope) -> ErrorRow:
    faults = error.errors()[:MAX_FAULTS]
    fields = {_field(fault): str(fault["msg"]) for fault in faults}
    return ErrorRow(422, INVALID, "The request does not have the agreed form", {"fields": fields})


def _field(fault: Mapping[str, Any]) -> str:
    first, *path = [str(part) for part in fault["loc"]]
    return ".".join(path) or first


def _traced_faults(error: RequestValidationError, _: Scope) -> ErrorRow:
    faults = plain_faults(list(error.errors()[:MAX_FAULTS]))
    return ErrorRow(422, INVALID, [{**fault, "input": None} for fault in faults])


def _text_and_faults(error: RequestValidationError, _: Scope) -> ErrorRow:
    faults = plain_faults(list(error.errors()[:MAX_TEXT_FAULTS]))
    names = [fault["loc"][1] for fault in faults if len(fault["loc"]) > 1]
    fields = sorted({name for name in names if isinstance(name, str)})
    named = f": {', '.join(fields)}" if fields else ""
    return ErrorRow(422, text=f"Проверьте данные запроса{named}", details={"errors": faults})


PROBLEM: Final = ErrorShape(body=problem_body, media_type="application/problem+json")
"""RFC 9457, the shape of services that name no other."""

DETAIL: Final = ErrorShape(body=detail_body)
"""`{"detail": …}` as plain FastAPI answers it: the scan logger's."""

REDACTED_DETAIL: Final = ErrorShape(body=redacted_detail_body)

TEXT: Final = ErrorShape(
    body=redacted_detail_body,
    rows={RequestValidationError: _text_and_faults},
    headers={401: CHALLENGE},
)
"""A text under `detail` always, the faults of a 422 under `errors` (spec shop §1)."""

CODED: Final = ErrorShape(body=coded_body)
"""`{"detail": …, "code": …}`, the code being the name of the exception: the scales'."""

TRACED: Final = ErrorShape(
    body=traced_body,
    rows={
        RequestValidationError: _traced_faults,
        KeyReused: ErrorRow(409, "IDEMPOTENCY_CONFLICT", "The key belongs to another request"),
    },
    codes={status.value: status.name for status in HTTPStatus},
    headers={401: {**CHALLENGE, "Cache-Control": "no-store"}},
)
"""`detail`, `code` and `request_id` (spec kiosk §1.1)."""

ENVELOPE: Final = ErrorShape(
    body=envelope_body,
    rows={RequestValidationError: _envelope_faults},
    codes={
        401: "UNAUTHORIZED",
        403: "FORBIDDEN",
        404: "NOT_FOUND",
        409: "CONFLICT",
        422: INVALID,
        429: "RATE_LIMIT_EXCEEDED",
    },
    headers={401: CHALLENGE},
    fallback=DETAIL,
)
"""`{"error": …}` for statuses with a code, otherwise `{"detail": …}` (spec crm §1.3)."""


def answer(shape: ErrorShape, error: Exception, scope: Scope) -> Response:
    """The response to an exception in a shape; unavailability is logged."""
    response = shape.response_to(error, scope)
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("unavailable", error=type(error.__cause__ or error).__name__)
    return response


def add_problems(app: FastAPI, shape: ErrorShape = PROBLEM) -> None:
    """Answer every expected exception of the app in one shape."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer(shape, error, request.scope)

    for kind in EXPECTED:
        app.add_exception_handler(kind, handle)


class ShapedRoute(APIRoute):
    """A route that refuses longer bodies, before authentication: `APIRouter(route_class=…)`.

    Subclasses may have a shape of their own in place of the app's. That a dependency is unavailable
    is answered in the app's shape always.
    """

    shape: ClassVar[ErrorShape | None] = None
    max_body_bytes: ClassVar[int] = SMALL_BODY_BYTES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def respond(request: Request) -> Response:
            try:
                return await handle(with_limit(request, self.max_body_bytes))
            except (Refused, HTTPException, RequestValidationError) as error:
                if self.shape is None:
                    raise
                return answer(self.shape, error, request.scope)

        return respond
