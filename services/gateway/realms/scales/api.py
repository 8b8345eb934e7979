"""Registration and login of the scales' clients (spec scale-bridge §1)."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, EmailStr, StringConstraints

from libs.http.auth import public
from services.gateway.accounts.domain.account import PasswordUnfit
from services.gateway.accounts.domain.person import BadAddress, Person
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.accounts.handlers.address import AddressTaken
from services.gateway.administration.handlers.account import open_account
from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import NEWCOMERS
from services.gateway.doors.domain.door import Limit
from services.gateway.sessions.api.login import Logins, PasswordForm, attempts_of, token_answer

router = APIRouter(prefix="/auth", tags=["scales"], dependencies=[Depends(public), NEWCOMERS])

LOGIN: Final = Logins(realm=Realm.SCALES, login_failed="Incorrect username or password")
ROLE: Final = "user"
TAKEN: Final = "Email already registered"


class Register(BaseModel):
    """A registration."""

    email: EmailStr
    password: Annotated[str, StringConstraints(min_length=8, max_length=128)]


@router.post("/register", status_code=201)
async def register(body: Register, request: Request, gateway: Gateway) -> dict[str, Any]:
    """Open an account: 201 with its number and address; 409 if another account has the address."""
    attempts = attempts_of(gateway, request)
    await attempts.count(Limit.REGISTRATION, "registration")
    workspace = Workspace(Realm.SCALES, gateway.settings.people_tenant)
    person = Person(email=body.email)
    try:
        account = await open_account(
            gateway.identity,
            person,
            password=body.password,
            roles=[Role(workspace, ROLE)],
            actor=None,
            source=attempts.newcomer(),
        )
    except AddressTaken:
        raise HTTPException(409, TAKEN) from None
    except (BadAddress, PasswordUnfit):
        raise HTTPException(422, "This address or password cannot be used") from None
    return {"id": account.number, "email": account.person.email}


@router.post("/login", response_model=dict[str, Any])
async def login(
    request: Request, gateway: Gateway, form: Annotated[PasswordForm, Depends()]
) -> Response:
    """A bearer token for an e-mail address and its password; 401 whatever is wrong with them."""
    logged_in = await LOGIN.enter(gateway, request, form.username, form.password)
    return token_answer(gateway, logged_in, "access_token", "token_type")


ROUTERS: Final = (router,)
