"""Routes in the shape of the kiosks' clients: refusals with text, code and request id.

See spec kiosk §1.1.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException

from libs.errors import Forbidden, NotFound, TooManyRequests, Unauthenticated
from libs.http.shapes import INVALID, TRACED, ErrorRow, ShapedRoute
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
from services.gateway.sessions.api.realm_route import RealmRoute
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers.login import LoginFailed

UNAUTHORIZED: Final = "Unauthorized"
"""The word by which pages of the crm show the login, where a request may be of either realm."""


class Coded(HTTPException):
    """An HTTPException with a code of the kiosks' clients."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, detail)
        self.code = code


def _taken(error: AddressTaken, _: Mapping[str, Any]) -> ErrorRow:
    kind = error.address.kind
    return ErrorRow(409, f"{kind.upper()}_TAKEN", f"This {kind} is taken")


SHAPE: Final = TRACED.with_rows(
    {
        LoginFailed: ErrorRow(401, "INVALID_CREDENTIALS", "Incorrect username or password"),
        SessionOver: ErrorRow(
            401, "TOKEN_REVOKED", f"{UNAUTHORIZED}: the session is over, log in again"
        ),
        AccountUnknown: ErrorRow(404, "USER_NOT_FOUND", "User not found"),
        AlreadySetUp: ErrorRow(409, "SETUP_DONE", "There is a superadmin already"),
        LastSuperadmin: ErrorRow(409, "LAST_SUPERADMIN", "The last active superadmin must remain"),
        ActsElsewhere: ErrorRow(409, "ACTS_ELSEWHERE", str(ActsElsewhere())),
        RoleUnknown: ErrorRow(400, "UNKNOWN_ROLE", "There is no such role"),
        WrongPassword: ErrorRow(400, "WRONG_PASSWORD", "That is not the present password"),
        PasswordUnfit: ErrorRow(422, INVALID, "A password has 8 to 128 characters"),
        BadAddress: ErrorRow(422, INVALID, "This user name or e-mail address cannot be used"),
        Unauthenticated: ErrorRow(401, "INVALID_TOKEN", UNAUTHORIZED),
        Forbidden: ErrorRow(403, "FORBIDDEN", "Your role may not do this"),
        NotFound: ErrorRow(404, "NOT_FOUND", "Not Found"),
        TooManyRequests: ErrorRow(429, "TOO_MANY_REQUESTS", "Too many requests; try again later"),
        Coded: lambda error, _: ErrorRow(error.status_code, error.code, error.detail),
        AddressTaken: _taken,
    }
)


class KioskRoute(ShapedRoute):
    """Answers refusals with `detail`, `code` and `request_id`, and repeats nothing of a request."""

    shape = SHAPE


class KioskUserRoute(RealmRoute, KioskRoute):
    """A `KioskRoute` at a path that the crm has as well."""

    realm = Realm.KIOSK
