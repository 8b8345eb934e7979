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
from services.gateway.telegram.adapters import Bot, Failed, Trouble
from services.gateway.telegram.domain.bot_update import (
    ACCEPTED,
    GONE,
    LEFT,
    STAYS,
    BotCommand,
    Choice,
    Chosen,
    ConfirmLogin,
    OwnContact,
    Reply,
    ShopEntry,
    Shops,
    Status,
    Update,
    login_reply,
    read,
    reply_to,
    shops_reply,
    update_id,
)
from services.gateway.telegram.stores.codes import Codes
from services.gateway.telegram.stores.links import TelegramLinks

LONGEST_PAUSE: Final = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to say to whom. In a private chat the chat's id is the person's. `callback` names the
    button that was pressed."""

    chat: int
    reply: Reply
    callback: str | None = None


async def handle(
    links: TelegramLinks,
    identity: Identity,
    update: object,
    *,
    codes: Codes,
    clock: Clock = utc_now,
) -> Answer | None:
    """Do what an Update of the Bot API asks, once however often it comes; the answer, if any.

    Raises Unavailable, and then nothing was done: let Telegram send it again.
    """
    number, command = update_id(update), read(update)
    if number is None or command is None:
        return None
    if await links.is_known(number, now=clock()):
        return None
    log.info("bot asked", command=type(command).__name__)
    # First what is asked, which may be repeated, then that it was done: an update is never lost.
    answer = await _answer(links, identity, command, codes=codes, clock=clock)
    phone = command.phone if isinstance(command, OwnContact) else None
    by, now = command.telegram_id, clock()
    return answer if await links.take(number, now=now, phone=phone, telegram_id=by) else None


async def _answer(
    links: TelegramLinks, identity: Identity, command: Update, *, codes: Codes, clock: Clock
) -> Answer:
    if isinstance(command, Chosen):
        reply = await _choose(links, identity, command)
        return Answer(chat=command.telegram_id, reply=reply, callback=command.callback)
    if isinstance(command, ConfirmLogin):
        by, now = command.telegram_id, clock()
        reply = login_reply(confirmed=await codes.confirm(command.nonce, telegram_id=by, now=now))
        return Answer(chat=by, reply=reply)
    return Answer(chat=command.telegram_id, reply=await _reply(links, identity, command))


async def say(bot: Bot, answer: Answer) -> None:
    """Say it, at most once: people ask again if they hear nothing. Never raises."""
    if answer.callback is not None:
        await bot.answer_callback(answer.callback)
    reply = answer.reply
    sent = await bot.send_message(
        answer.chat, reply.text, keyboard=reply.keyboard, buttons=reply.buttons
    )
    if isinstance(sent, Failed):
        log.info("bot not heard", trouble=sent.trouble)


async def set_webhook(
    bot: Bot, url: str, *, secret: str, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> bool:
    """Have updates sent to `url`, trying until Telegram is there; False if it does not want to."""
    seconds = 1.0
    while True:
        failed = await bot.set_webhook(url, secret=secret)
        if failed is None:
            log.info("webhook set")
            return True
        if failed.trouble is Trouble.REFUSED:
            log.error("webhook refused: see the bot's token and the webhook's address")
            return False
        await pause(max(seconds, failed.retry_after))
        seconds = min(seconds * 2, LONGEST_PAUSE)


async def _reply(links: TelegramLinks, identity: Identity, command: BotCommand | Shops) -> Reply:
    if isinstance(command, Shops):
        return await _shops(links, identity, command.telegram_id)
    linked = None
    if isinstance(command, Status):
        linked = await links.phone_of(command.telegram_id)
    return reply_to(command, linked=linked)


async def _shops(links: TelegramLinks, identity: Identity, telegram_id: int) -> Reply:
    """Where the owner of the linked phone works and is invited to."""
    account_id = await _account_of(links, identity, telegram_id)
    found = await memberships(identity, account_id) if account_id else ()
    return shops_reply(
        [
            ShopEntry(
                tenant=one.tenant,
                name=one.shop.name if one.shop else one.tenant,
                invited=one.invited,
            )
            for one in found
        ]
    )


async def _choose(links: TelegramLinks, identity: Identity, chosen: Chosen) -> Reply:
    """Do what a button says, for the owner of the phone that is linked now."""
    account_id = await _account_of(links, identity, chosen.telegram_id)
    if account_id is None:
        return Reply(text=GONE)
    try:
        match chosen.choice:
            case Choice.ACCEPT:
                await accept(identity, account_id, chosen.tenant)
                return Reply(text=ACCEPTED)
            case Choice.LEAVE:
                await leave(identity, account_id, chosen.tenant)
                return Reply(text=LEFT)
            case _:
                assert_never(chosen.choice)
    except (OfferUnknown, NotStaff, AccountUnknown):
        return Reply(text=GONE)
    except LastAdmin:
        return Reply(text=STAYS)


async def _account_of(
    links: TelegramLinks, identity: Identity, telegram_id: int
) -> AccountId | None:
    phone = await links.phone_of(telegram_id)
    return await find(identity, people.phone(phone)) if phone else None
