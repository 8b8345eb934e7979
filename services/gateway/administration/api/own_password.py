"""The route to change one's own password, in any realm."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

from contracts.gateway import AccountId
from libs.http.shapes import ShapedRoute
from services.gateway.accounts.domain.account import (
    MAX_PASSWORD,
    MIN_PASSWORD,
    PasswordUnfit,
    WrongPassword,
)
from services.gateway.administration.handlers.own_password import change_own_password
from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.domain.door import Limit
from services.gateway.sessions.api.login import attempts_of
from services.gateway.sessions.api.sessions import CurrentUser

router = APIRouter(
    prefix="/api/v1/account", tags=["identity"], route_class=ShapedRoute, dependencies=[ACCOUNTS]
)


class NewPassword(BaseModel):
    """The present password and the new one."""

    model_config = ConfigDict(extra="forbid")

    old_password: Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]
    new_password: Annotated[
        str, StringConstraints(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)
    ]


@router.post("/password", status_code=204)
async def change_password(
    body: NewPassword, request: Request, gateway: Gateway, caller: CurrentUser
) -> None:
    """Change one's own password: 204, and all sessions end. 403 if the old password is wrong, 422
    if the new one is unfit, 429 after too many attempts."""
    await attempts_of(gateway, request).count(Limit.LOGIN, caller.subject)
    try:
        await change_own_password(
            gateway.identity,
            AccountId(UUID(caller.subject)),
            realm=caller.kind,
            session=caller.session,
            old=body.old_password,
            new=body.new_password,
        )
    except WrongPassword as error:
        raise HTTPException(403, str(error)) from None
    except PasswordUnfit as error:
        raise HTTPException(422, str(error)) from None
