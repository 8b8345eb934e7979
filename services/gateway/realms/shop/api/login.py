"""Logins from the shop's login page and its Mini App (spec shop §2.1, §2.4)."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from libs.errors import Unauthenticated
from libs.http.auth import public
from libs.http.shapes import CHALLENGE
from services.gateway.accounts.domain.shop_role import FLORIST
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import NEWCOMERS
from services.gateway.realms.shop.api.token import (
    AuthRoute,
    Named,
    auth_token,
    bot_token_of,
    pending_auth_token,
)
from services.gateway.realms.shop.domain import CITY
from services.gateway.realms.shop.handlers import pending_registration
from services.gateway.realms.shop.handlers.login import Entered, MiniApp, Newcomer, ShopLogins
from services.gateway.realms.shop.handlers.pending_registration import NotPending
from services.gateway.sessions.api.login import device_of
from services.gateway.telegram.api.one_time_code import Phone, address_of, refusal_of
from services.gateway.telegram.domain.init_data import MAX_LENGTH


async def no_store(response: Response) -> None:
    """Set `Cache-Control: no-store`: the answer contains a token."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(
    prefix="/api/auth",
    tags=["auth"],
    route_class=AuthRoute,
    dependencies=[Depends(public), Depends(no_store), NEWCOMERS],
)

NOT_PENDING = "Это не токен регистрации"
LOG_IN = "Регистрация не подтверждена, запросите код ещё раз"


class CodeShown(BaseModel):
    """A phone and the code that was sent to it."""

    phone: Phone
    otp_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]


class Registration(BaseModel):
    """The name and city of a new shop."""

    name: Named
    city: Named = CITY


class InitData(BaseModel):
    """The init data of a Mini App; a 400 if empty or missing."""

    init_data: str = Field(default="", alias="initData", max_length=MAX_LENGTH)
    phone: str | None = Field(default=None, alias="phoneNumber", max_length=64)


class TelegramRegistration(BaseModel):
    """A shop to register from the Mini App. `initData` is required as proof."""

    init_data: str = Field(default="", alias="initData", max_length=MAX_LENGTH)
    phone: Phone
    shop_name: Named
    city: Named = CITY


@router.post("/verify-otp")
async def verify_otp(body: CodeShown, request: Request, gateway: Gateway) -> dict[str, Any]:
    """A token for a phone and its code, a pending one without a shop; 400 with the reason."""
    address = address_of(request, gateway)
    outcome = await logins_of(gateway, request).by_code(body.phone, body.otp_code, address=address)
    match outcome:
        case Entered():
            return auth_token(gateway, outcome)
        case Newcomer(phone=phone):
            keys, issuer = gateway.signing_keys, gateway.settings.issuer
            bearer = pending_registration.pending_token(
                gateway.identity, keys, phone, issuer=issuer
            )
            return pending_auth_token(bearer)
        case _:
            raise refusal_of(outcome)


@router.post("/complete-registration", status_code=201)
async def complete_registration(
    body: Registration, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """Register a shop for the phone of a pending token, and log in its first admin.

    400 for another valid token or if there is a shop already, 401 for an invalid token.
    """
    phone = await _proved(request, gateway)
    chat = await gateway.code_context.links.chat_of(phone)
    entered = await logins_of(gateway, request).register(
        phone, name=body.name, city=body.city, telegram_id=chat
    )
    return auth_token(gateway, entered)


@router.post("/telegram-login")
async def telegram_login(body: InitData, request: Request, gateway: Gateway) -> dict[str, Any]:
    """A token for the user of the Mini App, if their phone is proved."""
    app = _mini_app(gateway, body.init_data, body.phone)
    entered = await logins_of(gateway, request).by_mini_app(app)
    return auth_token(gateway, entered)


@router.post("/florist-login")
async def florist_login(body: InitData, request: Request, gateway: Gateway) -> dict[str, Any]:
    """A token for a florist. 404 for other users, without using up the init data: the app then
    tries `telegram-login` with it."""
    app = _mini_app(gateway, body.init_data, body.phone)
    entered = await logins_of(gateway, request).by_mini_app(app, role=FLORIST)
    return auth_token(gateway, entered, in_role=True)


@router.post("/telegram-register", status_code=201)
async def telegram_register(
    body: TelegramRegistration, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """Register a shop for the user of the Mini App. Only the init data counts as proof of the
    Telegram account (spec shop §10, S12)."""
    app = _mini_app(gateway, body.init_data, body.phone)
    entered = await logins_of(gateway, request).register_by_mini_app(
        app, name=body.shop_name, city=body.city
    )
    return auth_token(gateway, entered, is_new=True)


def logins_of(gateway: Deps, request: Request) -> ShopLogins:
    """Logins from the browser of the request."""
    return ShopLogins(gateway.identity, gateway.code_context, device_of(request))


def _mini_app(gateway: Deps, init_data: str, phone: str | None) -> MiniApp:
    return MiniApp(
        init_data=init_data,
        phone=phone,
        bot_token=bot_token_of(gateway),
        max_age=timedelta(seconds=gateway.settings.telegram_age_seconds),
    )


async def _proved(request: Request, gateway: Deps) -> str:
    """The phone that a pending token proves."""
    authorization = request.headers.get("authorization", "")
    scheme, _, token = authorization.partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise NotPending
        return pending_registration.phone_of(
            gateway.identity, gateway.signing_keys, token, issuer=gateway.settings.issuer
        )
    except NotPending:
        pass
    if await _opens_doors(gateway, authorization):
        raise HTTPException(400, NOT_PENDING)
    raise HTTPException(401, LOG_IN, headers=CHALLENGE)


async def _opens_doors(gateway: Deps, authorization: str) -> bool:
    try:
        await gateway.verifier.principal(authorization)
    except Unauthenticated:
        return False
    return True
