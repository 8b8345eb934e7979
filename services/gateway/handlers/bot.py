"""What happens when somebody says something to the bot."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from libs.clock import Clock, utc_now
from services.gateway.adapters.codes import Codes
from services.gateway.adapters.telegram import Bot, Failed, Trouble
from services.gateway.adapters.telegram_links import TelegramLinks
from services.gateway.domain.bot_update import (
    ConfirmLogin,
    OwnContact,
    Reply,
    Status,
    Update,
    login_reply,
    read,
    reply_to,
    update_id,
)

LONGEST_PAUSE: Final = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to say to whom. In a private chat the chat's id is the person's."""

    chat: int
    reply: Reply


async def handle(
    links: TelegramLinks, update: object, *, codes: Codes, clock: Clock = utc_now
) -> Answer | None:
    """Do what an Update of the Bot API asks, once however often it comes; the answer, if any.

    Raises Unavailable, and then nothing was done: let Telegram send it again.
    """
    number, command = update_id(update), read(update)
    if number is None or command is None:
        return None
    phone = command.phone if isinstance(command, OwnContact) else None
    fresh = await links.take(number, now=clock(), phone=phone, telegram_id=command.telegram_id)
    if not fresh:
        return None
    log.info("bot asked", command=type(command).__name__)
    reply = await _reply(links, codes, command, clock)
    return Answer(chat=command.telegram_id, reply=reply)


async def say(bot: Bot, answer: Answer) -> None:
    """Say it, at most once: people ask again if they hear nothing. Never raises."""
    sent = await bot.send_message(answer.chat, answer.reply.text, keyboard=answer.reply.keyboard)
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


async def _reply(links: TelegramLinks, codes: Codes, command: Update, clock: Clock) -> Reply:
    if isinstance(command, ConfirmLogin):
        by = command.telegram_id
        return login_reply(
            confirmed=await codes.confirm(command.nonce, telegram_id=by, now=clock())
        )
    linked = None
    if isinstance(command, Status):
        linked = await links.phone_of(command.telegram_id)
    return reply_to(command, linked=linked)
