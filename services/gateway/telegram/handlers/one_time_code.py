"""Requesting and verifying one-time codes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

import structlog

from libs.clock import Clock, utc_now
from libs.errors import TooMany, Unavailable
from libs.security import codes
from libs.security.sealing import derive_key
from services.gateway.accounts.domain import person
from services.gateway.accounts.domain.shop import oldest_offer
from services.gateway.accounts.handlers.address import find
from services.gateway.accounts.handlers.identity import NO_ACCOUNT, Identity, load, person_of
from services.gateway.settings import Settings
from services.gateway.telegram.adapters import Bot, Failed, FailureReason, Sent
from services.gateway.telegram.domain.bot_update import code_text, confirmation_text, masked
from services.gateway.telegram.domain.one_time_code import (
    FIXED_CODE,
    FIXED_PHONE,
    TRIES,
    DeliveryMethod,
    Outcome,
    Unconfirmed,
    Verified,
    Wrong,
    delivery_method_for,
)
from services.gateway.telegram.stores.codes import CodeStore
from services.gateway.telegram.stores.links import TelegramLinks

AWAY_SECONDS: Final = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The account that owns a phone: its Telegram account, and whether a shop invites it.

    `is_known` is False if no account has the phone.
    """

    is_known: bool
    telegram_id: int | None = None
    is_invited: bool = False


OwnerOfPhone: TypeAlias = Callable[[str], Awaitable[Owner]]
"""The owner of a phone in E.164. Must take equally long for a phone without an account."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeContext:
    """The context of one-time codes and the bot. `bot_name` is without the @.

    In a test, a special demo, `FIXED_PHONE` always gets `FIXED_CODE`.
    """

    codes: CodeStore
    links: TelegramLinks
    owner_of_phone: OwnerOfPhone
    bot: Bot | None
    bot_name: str | None
    is_demo: bool
    is_test: bool = False
    clock: Clock = utc_now


def make_code_context(settings: Settings, identity: Identity, bot: Bot | None) -> CodeContext:
    """The context of one-time codes and the bot. Codes are shown in `demo` and `test` only."""
    # The oldest key, as for digests: a new key in front does not invalidate codes in use.
    key = derive_key(settings.sealing_keys[-1], "one-time code")
    return CodeContext(
        codes=CodeStore(identity.pool, seal=identity.seal, key=key),
        links=TelegramLinks(identity.pool, seal=identity.seal),
        owner_of_phone=owners(identity),
        bot=bot,
        bot_name=settings.telegram_bot,
        is_demo=settings.profile in ("demo", "test"),
        is_test=settings.profile == "test",
        clock=identity.clock,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeDelivery:
    """The delivery of a code. `code` is set only if it is displayed, `bot_link` only to register.

    With `confirmed` no code was sent yet: the owner must confirm the request first.
    """

    method: DeliveryMethod
    code: str | None = None
    bot_link: str | None = None
    confirmed: bool = False


def owners(identity: Identity) -> OwnerOfPhone:
    """The lookup of a phone's owner, by the log."""

    async def owner_of_phone(phone: str) -> Owner:
        account_id = await find(identity, person.phone(phone))
        # Loaded even if there is none, so that both take equally long.
        loaded = await load(identity, account_id or NO_ACCOUNT)
        if account_id is None or not loaded.account.known:
            return Owner(is_known=False)
        owner_data = person_of(identity, account_id, loaded.account)
        invited = oldest_offer(loaded.account.offers) is not None
        return Owner(is_known=True, telegram_id=owner_data.telegram_id, is_invited=invited)

    return owner_of_phone


async def request_code(context: CodeContext, phone: str, *, address: str) -> CodeDelivery | TooMany:
    """Make a code for `phone` (E.164) in place of the last and deliver it (spec shop §2.2).

    `address` is the client's network address. Raises Unavailable without the database or Telegram,
    or without a bot unless in the demo profile. Not safe to repeat: people would get two codes, of
    which the second counts.
    """
    if context.is_test and phone == FIXED_PHONE:
        return CodeDelivery(method=DeliveryMethod.FIXED, code=FIXED_CODE)
    # Both are read in any case, so that all phones take equally long.
    linked, owner = await context.links.chat_of(phone), await context.owner_of_phone(phone)
    chat = linked if linked is not None else owner.telegram_id
    method = delivery_method_for(
        has_bot=context.bot is not None,
        has_chat=chat is not None,
        is_known=owner.is_known,
        is_demo=context.is_demo,
    )
    code = codes.generate()
    stored_code = code if method in (DeliveryMethod.TELEGRAM, DeliveryMethod.DISPLAYED) else None
    now, displayed = context.clock(), method is DeliveryMethod.DISPLAYED
    over = await context.codes.issue(
        phone, stored_code, address=address, now=now, displayed=displayed
    )
    if isinstance(over, TooMany):
        return over
    if method is DeliveryMethod.TELEGRAM and context.bot is not None and chat is not None:
        if isinstance(over, Unconfirmed):
            return await _ask_confirmation(context, context.bot, chat, phone, address)
        method = await _send(context, context.bot, chat, code_text(code, invited=owner.is_invited))
    return _delivery(context, method, phone, code)


async def verify_code(context: CodeContext, phone: str, code: str, *, address: str) -> Outcome:
    """Try a code. `Verified` uses it up.

    Every attempt is counted for the phone and the address, whether or not the phone has an account.
    Raises Unavailable; then nothing was counted.
    """
    if context.is_test and phone == FIXED_PHONE:
        return Verified() if code == FIXED_CODE else Wrong(remaining=TRIES)
    return await context.codes.attempt(phone, code, address=address, now=context.clock())


async def _ask_confirmation(
    context: CodeContext, bot: Bot, chat: int, phone: str, address: str
) -> CodeDelivery | TooMany:
    now = context.clock()
    nonce = await context.codes.ask_confirmation(phone, address=address, telegram_id=chat, now=now)
    if isinstance(nonce, TooMany):
        return nonce
    method = await _send(context, bot, chat, confirmation_text(nonce))
    if method is DeliveryMethod.TELEGRAM:
        return CodeDelivery(method=method, confirmed=True)
    # The bot was blocked: the owner must start it again.
    return _delivery(context, DeliveryMethod.REGISTER, phone, "")


async def _send(context: CodeContext, bot: Bot, chat: int, text: str) -> DeliveryMethod:
    """Send a text; the method of delivery left if it failed. Raises Unavailable to retry later."""
    match await bot.send_message(chat, text, protect=True):
        case Sent():
            return DeliveryMethod.TELEGRAM
        case Failed() if context.is_demo:
            return DeliveryMethod.DISPLAYED
        case Failed(reason=FailureReason.BLOCKED | FailureReason.UNKNOWN_CHAT):
            # The owner must start the bot again.
            return DeliveryMethod.REGISTER
        case Failed(retry_after=seconds):
            raise Unavailable("Telegram", retry_after_seconds=seconds or AWAY_SECONDS)


def _delivery(context: CodeContext, method: DeliveryMethod, phone: str, code: str) -> CodeDelivery:
    match method:
        case DeliveryMethod.TELEGRAM:
            return CodeDelivery(method=method)
        case DeliveryMethod.DISPLAYED:
            log.warning(
                "one-time code, shown in the demo profile only", to=masked(phone), code=code
            )
            return CodeDelivery(method=method, code=code)
        case DeliveryMethod.REGISTER:
            link = f"https://t.me/{context.bot_name}?start=login" if context.bot_name else None
            return CodeDelivery(method=method, bot_link=link)
        case DeliveryMethod.NONE | DeliveryMethod.FIXED:
            raise Unavailable("Telegram bot", retry_after_seconds=AWAY_SECONDS)
        case _:
            assert_never(method)
