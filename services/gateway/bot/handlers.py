"""Answers to messages and button presses in the Telegram bot."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, assert_never

import structlog

from contracts.gateway import AccountId
from libs.clock import Clock, utc_now
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.account import AccountUnknown, OfferUnknown
from services.gateway.accounts.handlers.address import find
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.realms.shop.handlers.membership import accept, leave, memberships
from services.gateway.realms.shop.handlers.staff import LastAdmin, NotStaff
from services.gateway.telegram.adapters import Bot, Failed, FailureReason
from services.gateway.telegram.domain.bot_update import (
    ACCEPTED,
    LAST_ADMIN,
    LEFT,
    NOT_FOUND,
    BotCommand,
    ButtonAction,
    ButtonPressed,
    ConfirmLogin,
    LinkStatus,
    OwnContact,
    Reply,
    ShopListing,
    Shops,
    Update,
    login_reply,
    read,
    reply_to,
    shops_reply,
    update_id,
)
from services.gateway.telegram.stores.codes import CodeStore
from services.gateway.telegram.stores.links import TelegramLinks

LONGEST_PAUSE: Final = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingReply:
    """A reply and its chat, whose id is the person's. `callback` is that of a pressed button."""

    chat: int
    reply: Reply
    callback: str | None = None


async def handle(
    links: TelegramLinks,
    identity: Identity,
    update: object,
    *,
    codes: CodeStore,
    clock: Clock = utc_now,
) -> OutgoingReply | None:
    """Handle an Update of the Bot API, once even if it is repeated; the reply, if any.

    Raises Unavailable: Telegram should send the update again.
    """
    number, command = update_id(update), read(update)
    if number is None or command is None:
        return None
    if await links.is_known(number, now=clock()):
        return None
    log.info("bot command", command=type(command).__name__)
    # First the command, which is safe to repeat, then the record of it: no update is lost.
    answer = await _handle_command(links, identity, command, codes=codes, clock=clock)
    phone = command.phone if isinstance(command, OwnContact) else None
    by, now = command.telegram_id, clock()
    return answer if await links.take(number, now=now, phone=phone, telegram_id=by) else None


async def _handle_command(
    links: TelegramLinks, identity: Identity, command: Update, *, codes: CodeStore, clock: Clock
) -> OutgoingReply:
    if isinstance(command, ButtonPressed):
        reply = await _act_on_button(links, identity, command)
        return OutgoingReply(chat=command.telegram_id, reply=reply, callback=command.callback)
    if isinstance(command, ConfirmLogin):
        by, now = command.telegram_id, clock()
        reply = login_reply(confirmed=await codes.confirm(command.nonce, telegram_id=by, now=now))
        return OutgoingReply(chat=by, reply=reply)
    return OutgoingReply(
        chat=command.telegram_id, reply=await _command_reply(links, identity, command)
    )


async def send(bot: Bot, answer: OutgoingReply) -> None:
    """Send the reply, at most once: people ask again without an answer. Never raises."""
    if answer.callback is not None:
        await bot.answer_callback(answer.callback)
    reply = answer.reply
    sent = await bot.send_message(
        answer.chat, reply.text, keyboard=reply.keyboard, buttons=reply.buttons
    )
    if isinstance(sent, Failed):
        log.info("bot reply not sent", reason=sent.reason)


async def set_webhook(
    bot: Bot, url: str, *, secret: str, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> bool:
    """Set the webhook to `url`, retrying while Telegram is away; False if Telegram refuses."""
    seconds = 1.0
    while True:
        failed = await bot.set_webhook(url, secret=secret)
        if failed is None:
            log.info("webhook set")
            return True
        if failed.reason is FailureReason.REFUSED:
            log.error("webhook refused: see the bot's token and the webhook's address")
            return False
        await pause(max(seconds, failed.retry_after))
        seconds = min(seconds * 2, LONGEST_PAUSE)


async def _command_reply(
    links: TelegramLinks, identity: Identity, command: BotCommand | Shops
) -> Reply:
    if isinstance(command, Shops):
        return await _shops(links, identity, command.telegram_id)
    linked = None
    if isinstance(command, LinkStatus):
        linked = await links.phone_of(command.telegram_id)
    return reply_to(command, linked=linked)


async def _shops(links: TelegramLinks, identity: Identity, telegram_id: int) -> Reply:
    """The shops and invitations of the account with the linked phone."""
    account_id = await _account_of(links, identity, telegram_id)
    shops = await memberships(identity, account_id) if account_id else ()
    return shops_reply(
        [
            ShopListing(
                tenant=one.tenant,
                name=one.shop.name if one.shop else one.tenant,
                invited=one.invited,
            )
            for one in shops
        ]
    )


async def _act_on_button(links: TelegramLinks, identity: Identity, pressed: ButtonPressed) -> Reply:
    """Perform the action of a button, for the account with the phone that is linked now."""
    account_id = await _account_of(links, identity, pressed.telegram_id)
    if account_id is None:
        return Reply(text=NOT_FOUND)
    try:
        match pressed.action:
            case ButtonAction.ACCEPT:
                await accept(identity, account_id, pressed.tenant)
                return Reply(text=ACCEPTED)
            case ButtonAction.LEAVE:
                await leave(identity, account_id, pressed.tenant)
                return Reply(text=LEFT)
            case _:
                assert_never(pressed.action)
    except (OfferUnknown, NotStaff, AccountUnknown):
        return Reply(text=NOT_FOUND)
    except LastAdmin:
        return Reply(text=LAST_ADMIN)


async def _account_of(
    links: TelegramLinks, identity: Identity, telegram_id: int
) -> AccountId | None:
    phone = await links.phone_of(telegram_id)
    return await find(identity, people.phone(phone)) if phone else None
