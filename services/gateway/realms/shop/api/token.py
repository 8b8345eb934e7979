"""Answers to the shop's logins, and refusals (spec shop §2.1)."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, StringConstraints

from libs.errors import Unavailable
from libs.http.shapes import TEXT, ErrorRow, ShapedRoute
from services.gateway.accounts.domain.account import OfferUnknown
from services.gateway.context import Deps
from services.gateway.realms.shop.handlers.login import Entered, NoShop
from services.gateway.realms.shop.handlers.shop import ShopExists
from services.gateway.realms.shop.handlers.staff import LastAdmin, NotStaff, SwitchedOff
from services.gateway.sessions.api.login import access_of
from services.gateway.sessions.handlers.session import NotAdmitted
from services.gateway.telegram.domain.init_data import (
    InitDataForged,
    InitDataMalformed,
    InitDataStale,
)
from services.gateway.telegram.handlers.mini_app import InitDataUsed, NoPhone, PhoneNotProved

AWAY_SECONDS: Final = 60


def refusal(status: int, text: str) -> ErrorRow:
    """The answer to a refusal: the text that the clients display."""
    return ErrorRow(status, text=text, headers={})


REFUSALS: Final = TEXT.with_rows(
    {
        NotAdmitted: refusal(403, "Учётная запись отключена"),
        ShopExists: refusal(400, "Магазин с этим номером телефона уже зарегистрирован"),
        NotStaff: refusal(404, "Вы больше не работаете в этом магазине"),
        OfferUnknown: refusal(404, "Приглашения в этот магазин нет"),
        LastAdmin: refusal(400, "Вы последний администратор магазина"),
        SwitchedOff: refusal(403, "Учётная запись отключена"),
        NoShop: refusal(404, "Магазин или сотрудник с этим номером телефона не найден"),
        NoPhone: refusal(400, "Укажите номер телефона"),
        InitDataMalformed: refusal(400, "Неверные данные Telegram"),
        InitDataForged: refusal(401, "Подпись Telegram не подтверждена"),
        InitDataStale: refusal(401, "Данные Telegram устарели, откройте приложение заново"),
        InitDataUsed: refusal(401, "Данные Telegram уже использованы, откройте приложение заново"),
        PhoneNotProved: refusal(
            401,
            "Номер телефона не подтверждён: поделитесь своим контактом с Telegram-ботом",
        ),
    }
)


def printable(text: str) -> str:
    """The text. Raises ValueError for unprintable characters."""
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Named = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=2, max_length=100),
    AfterValidator(printable),
]
"""The name of a shop or a city."""


class AuthRoute(ShapedRoute):
    """Answers the refusals of logins and memberships."""

    shape = REFUSALS


def bot_token_of(gateway: Deps) -> str:
    """The bot's token, which signs init data. Raises Unavailable if no bot is configured."""
    if (token := gateway.settings.bot_token) is None:
        raise Unavailable("Telegram bot", retry_after_seconds=AWAY_SECONDS)
    return token


def auth_token(
    gateway: Deps, entered: Entered, *, is_new: bool = False, in_role: bool = False
) -> dict[str, Any]:
    """The answer to a login. `in_role` adds the role and name, for the florists' login."""
    shop, role = entered.shop, entered.logged_in.role.partition(" ")[0]
    return _body(
        access_of(gateway, entered.logged_in, tells_role=in_role).bearer,
        shop_id=shop.number if shop else None,
        shop_name=shop.name if shop else None,
        user_role=role if in_role else None,
        user_name=entered.card.name if in_role else None,
        is_new_user=is_new,
    )


def pending_auth_token(bearer: str) -> dict[str, Any]:
    """The answer to a login without a shop, with a token to register one."""
    return _body(bearer, is_new_user=True)


def _body(bearer: str, **known: Any) -> dict[str, Any]:
    unknown = {"shop_id": None, "shop_name": None, "user_role": None, "user_name": None}
    answer = {"access_token": bearer, "token_type": "bearer", **unknown, **known}
    return {**answer, "needs_phone": False}
