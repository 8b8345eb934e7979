"""Routes in the shape of the crm's clients: refusals in an envelope (spec crm §1.3)."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from libs.errors import Refused
from libs.http.problems import MAX_FAULTS, problem_of
from services.gateway.accounts.domain.account import (
    LastSuperadmin,
    PasswordUnfit,
    WrongPassword,
)
from services.gateway.accounts.domain.person import BadAddress
from services.gateway.accounts.domain.realm import SCOPES, Realm
from services.gateway.accounts.handlers.address import AddressTaken
from services.gateway.administration.handlers.member import ActsElsewhere
from services.gateway.doors.api.small_body import MAX_BODY_BYTES, limited
from services.gateway.sessions.api.realm_permission import ScopeMissing
from services.gateway.sessions.api.realm_route import RealmRoute

INVALID: Final = "VALIDATION_ERROR"
CODES: Final[Mapping[int, str]] = {
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    422: INVALID,
    429: "RATE_LIMIT_EXCEEDED",
}
MESSAGES: Final[Mapping[int, str]] = {401: "Invalid token", 429: "Too Many Requests"}
Described: TypeAlias = tuple[int, str, dict[str, Any]]
UNFIT: Final[Described] = (422, "This e-mail address or password cannot be used", {"fields": {}})
REFUSALS: Final[Mapping[type[Exception], Described]] = {
    BadAddress: UNFIT,
    PasswordUnfit: UNFIT,
    LastSuperadmin: (
        409,
        "The last active administrator must remain",
        {"reason": "LAST_ADMIN"},
    ),
    ActsElsewhere: (409, str(ActsElsewhere()), {"reason": "ACTS_ELSEWHERE"}),
}
Refusal: TypeAlias = Refused | HTTPException | RequestValidationError


class CrmUserRoute(RealmRoute):
    """Answers refusals with `{"error": {"code", "message", "details"}}`, never with `detail`.

    The site cannot display a `detail` that is a list, and shows the login only without `detail`.
    The kiosks share the path.
    """

    realm = Realm.CRM

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(Request(request.scope, limited(request, MAX_BODY_BYTES)))
            except (Refused, HTTPException, RequestValidationError) as error:
                return refusal(request, error)

        return answer


def refusal(request: Request, error: Refusal) -> JSONResponse:
    """The refusal in the crm's shape. It repeats a valid id or address of the request only."""
    problem = problem_of(error)
    status, message, details = _described(request, error, problem.status)
    code = CODES.get(status, "ERROR")
    headers = dict(problem.headers)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"error": {"code": code, "message": message or problem.title, "details": details}}
    return JSONResponse(body, status, headers=headers)


def _described(request: Request, error: Refusal, status: int) -> Described:
    match error:
        case RequestValidationError():
            fields = {_field(item): str(item["msg"]) for item in error.errors()[:MAX_FAULTS]}
            return 422, "The request does not have the agreed form", {"fields": fields}
        case AddressTaken(address=address):
            return 422, f"User with email {address.text} already exists", {"fields": {}}
        case WrongPassword():
            return 422, str(error), {"fields": {"current_password": str(error)}}
        case ScopeMissing(scope=scope):
            return 403, f"Required roles: {', '.join(_roles_with(scope))}", {}
        case _ if type(error) in REFUSALS:
            return REFUSALS[type(error)]
        case _ if status == HTTPStatus.NOT_FOUND:
            return status, f"User not found: {request.path_params.get('user_id', '')}", {}
        case _:
            return status, MESSAGES.get(status, ""), {}


def _roles_with(scope: str) -> list[str]:
    return [
        role for (realm, role), scopes in SCOPES.items() if realm == Realm.CRM and scope in scopes
    ]


def _field(item: Mapping[str, Any]) -> str:
    parts = [str(part) for part in item["loc"]]
    return ".".join(parts[1:]) or parts[0]
