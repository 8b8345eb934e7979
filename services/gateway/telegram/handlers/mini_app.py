"""Verification of a Mini App's init data and of the user's phone."""

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
    """No phone was given, and none is linked to this Telegram account."""


class PhoneNotProved(Unauthenticated):
    """Share your contact with the bot first: nothing proves that this phone is yours."""


class InitDataUsed(Unauthenticated):
    """This init data was used for a login already; open the app anew."""


async def proved_phone(context: CodeContext, caller: TelegramCaller, phone: str | None) -> str:
    """The caller's phone in E.164 (spec shop §2.4).

    A phone is proved if it was shared with the bot as the caller's own contact, or if its account
    has this Telegram account. Without `phone` it is the linked one. Raises NoPhone,
    PhoneNotProved, Unavailable.
    """
    linked = await context.links.phone_of(caller.telegram_id)
    if not phone:
        if linked is None:
            raise NoPhone
        return linked
    parsed = phone_of(phone)
    if parsed is None:
        raise NoPhone
    if parsed == linked or (await context.owner_of_phone(parsed)).telegram_id == caller.telegram_id:
        return parsed
    raise PhoneNotProved


def read_init_data(
    context: CodeContext, init_data: str, *, bot_token: str, max_age: timedelta = MAX_AGE
) -> TelegramCaller:
    """Verify init data. Raises InitDataMalformed, InitDataForged, InitDataStale."""
    return caller_of(init_data, bot_token=bot_token, now=context.clock(), max_age=max_age)


async def use_up(
    context: CodeContext, caller: TelegramCaller, *, max_age: timedelta = MAX_AGE
) -> None:
    """Mark the init data as used. Raises InitDataUsed if it was used before, Unavailable.

    Called last before a session is opened: the app sends the same init data to several logins until
    one succeeds.
    """
    until = caller.auth_date + max_age + AHEAD + SPARE
    if not await context.links.first_use(caller.fingerprint, until=until, now=context.clock()):
        raise InitDataUsed
