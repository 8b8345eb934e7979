"""The couriers' app: logins by e-mail address, and the couriers of a shop's dispatchers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, EmailStr, Field, StringConstraints

from libs.http.auth import public
from libs.http.body_limit import SMALL_BODY_BYTES
from libs.http.shapes import TEXT, ErrorRow, ShapedRoute
from services.gateway.accounts.domain.realm import Realm
from services.gateway.accounts.handlers.address import AddressTaken
from services.gateway.administration.api.users import Face, Route, Shown, user_router
from services.gateway.administration.handlers.member import Member
from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.sessions.api.login import Logins, token_answer

USERS: Final = "courier:users"


class CourierLogin(BaseModel):
    """A login."""

    email: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class CourierRefresh(BaseModel):
    """The refresh token of a session."""

    refresh_token: str = Field(max_length=8192)


class NewCourier(BaseModel):
    """A new courier or dispatcher."""

    email: EmailStr
    password: Annotated[str, StringConstraints(min_length=8, max_length=128)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    vehicle: str = Field(default="", max_length=50)
    role: Literal["dispatcher", "courier"] = "courier"
    is_active: bool = True


class CourierPage(BaseModel):
    """The query of the list."""

    offset: int = Field(default=0, ge=0, le=2**31)
    limit: int = Field(default=50, ge=1, le=100)


class CourierRoute(ShapedRoute):
    """Answers refusals with a text under `detail`."""

    shape = TEXT.with_rows({AddressTaken: ErrorRow(409, text="Этот адрес уже занят")})
    max_body_bytes = SMALL_BODY_BYTES


def courier(member: Member, last_login: datetime | None) -> Shown:
    """A courier in the form of the app."""
    return {
        "id": member.number,
        "email": member.person.email,
        "name": member.person.name,
        "vehicle": member.person.traits.get("courier.vehicle"),
        "role": member.role,
        "is_active": member.active,
        "last_login_at": last_login.isoformat() if last_login else None,
    }


FACE: Final = Face(
    realm=Realm.COURIER,
    path="/api/couriers",
    route_class=CourierRoute,
    user_id=int,
    show=courier,
    paged=lambda items, total: {"items": items, "total": total},
    fields={"email": "email", "name": "name"},
    traits={"vehicle": "courier.vehicle"},
    query=lambda page: {"limit": page.limit, "offset": page.offset},
    routes=(
        Route("GET /me", Face.me, "courier_me", "The caller."),
        Route("GET ", Face.page, "couriers", "A page of couriers.", USERS, CourierPage),
        Route("POST ", Face.create, "new_courier", "A new courier.", USERS, NewCourier, status=201),
        Route("GET /{user_id}", Face.one, "courier", "A courier.", USERS),
    ),
)
LOGIN: Final = Logins(
    realm=Realm.COURIER, login_failed="Неверный адрес или пароль", session_over="Войдите ещё раз"
)
logins = APIRouter(
    prefix="/api/courier",
    tags=[Realm.COURIER.entry.door],
    route_class=CourierRoute,
    dependencies=[Depends(public), SESSIONS],
)


@logins.post("/login", response_model=dict[str, Any])
async def courier_login(body: CourierLogin, request: Request, gateway: Gateway) -> Response:
    """An access and a refresh token."""
    return token_answer(gateway, await LOGIN.enter(gateway, request, body.email, body.password))


@logins.post("/refresh", response_model=dict[str, Any])
async def courier_refresh(body: CourierRefresh, gateway: Gateway) -> Response:
    """The next pair of tokens."""
    return token_answer(gateway, await LOGIN.refresh(gateway, body.refresh_token))


ROUTERS: Final = (logins, user_router(FACE))
