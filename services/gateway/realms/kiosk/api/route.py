"""Routes in the shape of the kiosks' clients: refusals with text, code and request id.

See spec kiosk §1.1.
"""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from libs.errors import Forbidden, NotFound, Refused, TooManyRequests, Unauthenticated
from libs.http.problems import MAX_FAULTS, problem_of
from services.gateway.accounts.domain.account import (
    AccountUnknown,
    AlreadySetUp,
    LastSuperadmin,
    PasswordUnfit,
    WrongPassword,
)
from services.gateway.accounts.domain.person import BadAddress
from services.gateway.accounts.domain.realm import Realm, RoleUnknown
from services.gateway.accounts.handlers.address import AddressTaken
from services.gateway.administration.handlers.member import ActsElsewhere
from services.gateway.doors.api.small_body import MAX_BODY_BYTES, limited
from services.gateway.sessions.api.realm_route import RealmRoute
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers.login import LoginFailed

Refusal: TypeAlias = Refused | HTTPException | RequestValidationError

UNAUTHORIZED: Final = "Unauthorized"
"""The word by which pages of the crm show the login, where a request may be of either realm."""
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
INVALID: Final = "VALIDATION_ERROR"

REFUSALS: Final[Mapping[type[Refused], tuple[int, str, str]]] = {
    LoginFailed: (401, "INVALID_CREDENTIALS", "Incorrect username or password"),
    SessionOver: (401, "TOKEN_REVOKED", f"{UNAUTHORIZED}: the session is over, log in again"),
    AccountUnknown: (404, "USER_NOT_FOUND", "User not found"),
    AlreadySetUp: (409, "SETUP_DONE", "There is a superadmin already"),
    LastSuperadmin: (409, "LAST_SUPERADMIN", "The last active superadmin must remain"),
    ActsElsewhere: (409, "ACTS_ELSEWHERE", str(ActsElsewhere())),
    RoleUnknown: (400, "UNKNOWN_ROLE", "There is no such role"),
    WrongPassword: (400, "WRONG_PASSWORD", "That is not the present password"),
    PasswordUnfit: (422, INVALID, "A password has 8 to 128 characters"),
    BadAddress: (422, INVALID, "This user name or e-mail address cannot be used"),
    Unauthenticated: (401, "INVALID_TOKEN", UNAUTHORIZED),
    Forbidden: (403, "FORBIDDEN", "Your role may not do this"),
    NotFound: (404, "NOT_FOUND", "Not Found"),
    TooManyRequests: (429, "TOO_MANY_REQUESTS", "Too many requests; try again later"),
}


class Coded(HTTPException):
    """An HTTPException with a code of the kiosks' clients."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, detail)
        self.code = code


class KioskRoute(APIRoute):
    """Answers refusals with `detail`, `code` and `request_id`; bodies beyond 64 KiB with 413."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(Request(request.scope, limited(request, MAX_BODY_BYTES)))
            except (Refused, HTTPException, RequestValidationError) as error:
                return refusal(request, error)

        return answer


class KioskUserRoute(RealmRoute, KioskRoute):
    """A `KioskRoute` at a path that the crm has as well."""

    realm = Realm.KIOSK


def refusal(request: Request, error: Refusal) -> JSONResponse:
    """The refusal in the kiosks' shape. It repeats nothing of the request."""
    status, code, detail = _described(error)
    headers = dict(problem_of(error).headers)
    if status == HTTPStatus.UNAUTHORIZED:
        headers |= {**CHALLENGE, "Cache-Control": "no-store"}
    body = {"detail": detail, "code": code, "request_id": request.scope.get("request_id")}
    return JSONResponse(body, status, headers=headers)


def _described(error: Refusal) -> tuple[int, str, object]:
    match error:
        case RequestValidationError():
            return 422, INVALID, [_fault(item) for item in error.errors()[:MAX_FAULTS]]
        case Coded(code=code):
            return error.status_code, code, error.detail
        case HTTPException(status_code=status):
            return status, HTTPStatus(status).name, error.detail
        case AddressTaken(address=address):
            return 409, f"{address.kind.upper()}_TAKEN", f"This {address.kind} is taken"
        case Refused():
            kinds = (REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
            return next(kinds, (409, "CONFLICT", problem_of(error).title))


def _fault(item: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: item.get(name) for name in ("type", "loc", "msg")}, "input": None}
