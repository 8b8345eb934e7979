"""The route that requests a one-time code (spec shop §2)."""

from typing import Annotated, Any, Final, assert_never

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, StringConstraints

from libs.errors import TooMany
from libs.http.auth import public
from libs.http.rate_limits import too_many_headers
from libs.http.shapes import TEXT, ShapedRoute
from services.gateway.context import Gateway
from services.gateway.doors.api.peer import peer_of
from services.gateway.telegram.domain.one_time_code import DeliveryMethod, Expired, Wrong
from services.gateway.telegram.handlers import one_time_code
from services.gateway.telegram.handlers.one_time_code import CodeDelivery


class CodeRoute(ShapedRoute):
    """Answers in the shape of the shop's clients."""

    shape = TEXT


router = APIRouter(
    prefix="/api/auth", tags=["auth"], route_class=CodeRoute, dependencies=[Depends(public)]
)

Phone = Annotated[str, StringConstraints(pattern=r"^\+7[0-9]{10}$")]

SENT: Final = "Код отправлен в Telegram"
DISPLAYED_TEXT: Final = "Демонстрационный режим: код показан на экране"
REGISTER: Final = "Чтобы получать коды, подтвердите номер телефона в Telegram-боте"
CONFIRM: Final = "Подтвердите вход в Telegram и запросите код ещё раз"
INSTRUCTIONS: Final = (
    "Откройте Telegram-бота по ссылке",
    "Нажмите «Старт», затем «Поделиться номером телефона»",
    "Вернитесь на эту страницу и запросите код ещё раз",
)
# The page looks for the English words.
TOO_MANY_REQUESTS: Final = "Too many requests. Слишком много запросов, попробуйте позже."


class PhoneAsked(BaseModel):
    """The phone to log in with."""

    phone: Phone


@router.post("/request-otp", status_code=201)
async def request_otp(
    body: PhoneAsked, request: Request, response: Response, gateway: Gateway
) -> dict[str, Any]:
    """Send a code, or say how to be able to get one: `message` and `delivery_method`.

    `otp` comes with `debug`, `bot_link` and `instructions` with `need_registration`.
    """
    response.headers["Cache-Control"] = "no-store"
    delivery = await one_time_code.request_code(
        gateway.code_context, body.phone, address=address_of(request, gateway)
    )
    if isinstance(delivery, TooMany):
        headers = too_many_headers(delivery.retry_after, delivery.limit)
        raise HTTPException(429, TOO_MANY_REQUESTS, headers=headers)
    return _delivery_body(delivery)


def address_of(request: Request, gateway: Gateway) -> str:
    """The client's network address, behind trusted proxies."""
    headers = dict(request.scope["headers"])
    return peer_of(request.scope, headers, gateway.settings.trusted_proxies).address


def refusal_of(outcome: Wrong | Expired | TooMany) -> HTTPException:
    """The 400 of `verify-otp`, in words its page looks for (spec shop §2.1)."""
    match outcome:
        case Wrong(remaining=remaining):
            left = f"Неверный код, осталось попыток: {remaining}"
            return HTTPException(400, f"Invalid OTP. {left}")
        case Expired():
            return HTTPException(400, "OTP expired. Код истёк или не запрашивался")
        case TooMany(retry_after=seconds):
            text = "Too many attempts. Попытки исчерпаны, запросите новый код"
            return HTTPException(400, text, headers={"Retry-After": str(seconds)})
        case _:
            assert_never(outcome)


def _delivery_body(delivery: CodeDelivery) -> dict[str, Any]:
    match delivery.method:
        case DeliveryMethod.DISPLAYED | DeliveryMethod.FIXED:
            return {
                "message": DISPLAYED_TEXT,
                "delivery_method": delivery.method,
                "otp": delivery.code,
            }
        case DeliveryMethod.REGISTER:
            link = {"bot_link": delivery.bot_link} if delivery.bot_link else {}
            answer = {"message": REGISTER, "delivery_method": delivery.method}
            return {**answer, **link, "instructions": list(INSTRUCTIONS)}
        case _:
            message = CONFIRM if delivery.confirmed else SENT
            return {"message": message, "delivery_method": delivery.method}
