"""Verification of a Mini App's init data, and the phone that is proved by it."""

from datetime import timedelta
from typing import Final

from libs.errors import Refused, Unauthenticated
from services.gateway.telegram.domain.bot_update import phone_of
from services.gateway.telegram.domain.init_data import (
    AHEAD,
    MAX_AGE,
    TelegramCaller,
    caller_of,
)
from services.gateway.telegram.handlers.one_time_code import CodeContext

SPARE: Final = timedelta(minutes=1)


class NoPhone(Refused):
    """No phone number was given, and none is linked to this Telegram account."""


class PhoneNotProved(Unauthenticated):
    """Share your contact with the bot first: nothing proves that this phone is yours."""


class InitDataUsed(Unauthenticated):
    """This init data was used for a login already; open the app anew."""


async def proved_phone(context: CodeContext, caller: TelegramCaller, phone: str | None) -> str:
    """The caller's phone in E.164 (spec shop §2.4).

    It is theirs if they shared it with the bot as their own contact, or if its account has this
    Telegram account; that the app says so is no proof. Without `phone` it is the one that is
    linked. Raises NoPhone, PhoneNotProved, Unavailable.
    """
    linked = await context.links.phone_of(caller.telegram_id)
    if not phone:
        if linked is None:
            raise NoPhone
        return linked
    asked = phone_of(phone)
    if asked is None:
        raise NoPhone
    if asked == linked or (await context.who_has(asked)).telegram_id == caller.telegram_id:
        return asked
    raise PhoneNotProved


def read_init_data(
    context: CodeContext, init_data: str, *, bot_token: str, max_age: timedelta = MAX_AGE
) -> TelegramCaller:
    """Who signed in. Raises InitDataMalformed, InitDataForged, InitDataStale."""
    return caller_of(init_data, bot_token=bot_token, now=context.clock(), max_age=max_age)


async def use_up(
    context: CodeContext, caller: TelegramCaller, *, max_age: timedelta = MAX_AGE
) -> None:
    """Let this init data log in never again. Raises InitDataUsed, Unavailable.

    The last thing before a session is opened: the app shows the same init data to one login after
    the other until one knows its phone.
    """
    until = caller.auth_date + max_age + AHEAD + SPARE
    if not await context.links.first_use(caller.fingerprint, until=until, now=context.clock()):
        raise InitDataUsed
