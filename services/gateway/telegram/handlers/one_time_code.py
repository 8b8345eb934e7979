"""Requesting and verifying one-time codes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

import structlog

from libs.clock import Clock, utc_now
from libs.errors import Unavailable
from libs.security import codes
from services.gateway.accounts.domain import person
from services.gateway.accounts.domain.shop import oldest_offer
from services.gateway.accounts.handlers.address import find
from services.gateway.accounts.handlers.identity import NO_ACCOUNT, Identity, load, person_of
from services.gateway.sessions.domain.allowance import TooMany
from services.gateway.telegram.adapters import Bot, Failed, Sent, Trouble
from services.gateway.telegram.domain.bot_update import code_text, confirmation_text, masked
from services.gateway.telegram.domain.one_time_code import (
    FIXED_CODE,
    FIXED_PHONE,
    Outcome,
    Unconfirmed,
    Verified,
    Way,
    way_for,
)
from services.gateway.telegram.stores.codes import Codes
from services.gateway.telegram.stores.links import TelegramLinks

AWAY_SECONDS: Final = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """What the accounts say of a phone: whether somebody has it, their Telegram account, and
    whether a shop invites them."""

    is_known: bool
    telegram_id: int | None = None
    is_invited: bool = False


WhoHas: TypeAlias = Callable[[str], Awaitable[Owner]]
"""Answers for a phone in E.164. Must take as long for a phone that nobody has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeContext:
    """What it takes to give out codes. `bot_name` is without the @; `bot` is None without one.

    A test is a demo in which `FIXED_PHONE` has `FIXED_CODE`, as often as it asks.
    """

    codes: Codes
    links: TelegramLinks
    who_has: WhoHas
    bot: Bot | None
    bot_name: str | None
    is_demo: bool
    is_test: bool = False
    clock: Clock = utc_now


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How the code went out. `code` is there only if it is shown, `bot_link` only to register.

    If it is to be `confirmed`, no code went out yet, only the question whether it is them who ask.
    """

    way: Way
    code: str | None = None
    bot_link: str | None = None
    confirmed: bool = False


def owners(identity: Identity) -> WhoHas:
    """The accounts' word on whose phone it is, as the log has it."""

    async def who_has(phone: str) -> Owner:
        account_id = await find(identity, person.phone(phone))
        # Read even if there is none: it takes as long.
        loaded = await load(identity, account_id or NO_ACCOUNT)
        if account_id is None or not loaded.account.known:
            return Owner(is_known=False)
        told = person_of(identity, account_id, loaded.account)
        invited = oldest_offer(loaded.account.offers) is not None
        return Owner(is_known=True, telegram_id=told.telegram_id, is_invited=invited)

    return who_has


async def request_code(context: CodeContext, phone: str, *, address: str) -> Delivery | TooMany:
    """Make a code for `phone` (E.164) in place of the last and deliver it (spec shop §2.2).

    `address` is the network address of who asks. Raises Unavailable if the database or Telegram is
    away, or there is no bot and this is not the demo profile. Not safe to repeat blindly: people
    would get two codes, of which the second counts.
    """
    if context.is_test and phone == FIXED_PHONE:
        return Delivery(way=Way.FIXED, code=FIXED_CODE)
    # Both are asked whatever the first says, so that no phone answers faster than another.
    linked, owner = await context.links.chat_of(phone), await context.who_has(phone)
    chat = linked if linked is not None else owner.telegram_id
    way = way_for(
        has_bot=context.bot is not None,
        has_chat=chat is not None,
        is_known=owner.is_known,
        is_demo=context.is_demo,
    )
    code = codes.generate()
    kept = code if way in (Way.TELEGRAM, Way.SHOWN) else None
    now, displayed = context.clock(), way is Way.SHOWN
    over = await context.codes.issue(phone, kept, address=address, now=now, displayed=displayed)
    if isinstance(over, TooMany):
        return over
    if way is Way.TELEGRAM and context.bot is not None and chat is not None:
        if isinstance(over, Unconfirmed):
            return await _ask_confirmation(context, context.bot, chat, phone, address)
        way = await _send(context, context.bot, chat, code_text(code, invited=owner.is_invited))
    return _delivery(context, way, phone, code)


async def verify_code(context: CodeContext, phone: str, code: str, *, address: str) -> Outcome:
    """Try a code. `Verified` uses it up: whoever gets it must log the person in, or lose it.

    Raises Unavailable; nothing was tried then. Every other answer costs a try, of the phone and of
    the address, whether or not anybody has the phone.
    """
    if context.is_test and (phone, code) == (FIXED_PHONE, FIXED_CODE):
        return Verified()
    return await context.codes.attempt(phone, code, address=address, now=context.clock())


async def _ask_confirmation(
    context: CodeContext, bot: Bot, chat: int, phone: str, address: str
) -> Delivery | TooMany:
    now = context.clock()
    nonce = await context.codes.ask_confirmation(phone, address=address, telegram_id=chat, now=now)
    if isinstance(nonce, TooMany):
        return nonce
    way = await _send(context, bot, chat, confirmation_text(nonce))
    if way is Way.TELEGRAM:
        return Delivery(way=way, confirmed=True)
    # The bot was blocked: it has to be started again, whatever was to be sent.
    return _delivery(context, Way.REGISTER, phone, "")


async def _send(context: CodeContext, bot: Bot, chat: int, text: str) -> Way:
    """Send it; the way that is left if that failed. Raises Unavailable if it is worth a retry."""
    match await bot.send_message(chat, text, protect=True):
        case Sent():
            return Way.TELEGRAM
        case Failed() if context.is_demo:
            return Way.SHOWN
        case Failed(trouble=Trouble.BLOCKED | Trouble.UNKNOWN_CHAT):
            # They have to start the bot again.
            return Way.REGISTER
        case Failed(retry_after=seconds):
            raise Unavailable("Telegram", retry_after_seconds=seconds or AWAY_SECONDS)


def _delivery(context: CodeContext, way: Way, phone: str, code: str) -> Delivery:
    match way:
        case Way.TELEGRAM:
            return Delivery(way=way)
        case Way.SHOWN:
            log.warning(
                "one-time code, shown in the demo profile only", to=masked(phone), code=code
            )
            return Delivery(way=way, code=code)
        case Way.REGISTER:
            link = f"https://t.me/{context.bot_name}?start=login" if context.bot_name else None
            return Delivery(way=way, bot_link=link)
        case Way.NONE | Way.FIXED:
            raise Unavailable("Telegram bot", retry_after_seconds=AWAY_SECONDS)
        case _:
            assert_never(way)
