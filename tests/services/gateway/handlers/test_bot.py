"""What the bot does with updates, with a real database."""

from typing import Any

import pytest

from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from services.gateway.adapters.telegram import Bot
from services.gateway.adapters.telegram_links import TelegramLinks
from services.gateway.domain.bot_update import Keyboard, Reply
from services.gateway.handlers.bot import Answer, handle, say
from tests.services.gateway.adapters.bot_api import CHAT, BotApi
from tests.services.gateway.code_desk import SEAL, some_phone

EVE = 666


@pytest.fixture
async def links(pool: Pool) -> TelegramLinks:
    for table in ("telegram_link", "telegram_once"):
        await pool.execute(f"DELETE FROM {table}")
    return TelegramLinks(pool, seal=SEAL)


def update(number: int, sender: int = CHAT, **message: Any) -> dict[str, Any]:
    given = {"from": {"id": sender}, "chat": {"id": sender, "type": "private"}}
    return {"update_id": number, "message": given | message}


def contact(number: int, phone: str, *, sender: int = CHAT) -> dict[str, Any]:
    """A contact of the account `CHAT`, whoever sends it."""
    return update(number, sender, contact={"phone_number": phone[1:], "user_id": CHAT})


async def answer_to(links: TelegramLinks, update: object) -> Answer:
    answer = await handle(links, update, clock=Clock())
    assert answer is not None
    return answer


async def test_an_own_contact_is_linked_and_confirmed(links: TelegramLinks) -> None:
    phone = some_phone()

    answer = await answer_to(links, contact(1, phone))
    status = await answer_to(links, update(2, text="/status"))

    assert (answer.chat, answer.reply.keyboard) == (CHAT, Keyboard.NONE)
    assert phone[-4:] in status.reply.text
    assert await links.chat_of(phone) == CHAT


async def test_the_contact_of_another_account_is_not_linked(links: TelegramLinks) -> None:
    phone = some_phone()
    await answer_to(links, contact(1, phone))

    stolen = await answer_to(links, contact(2, phone, sender=EVE))
    typed = await answer_to(links, update(3, EVE, text=phone))

    assert stolen.reply.keyboard is typed.reply.keyboard is Keyboard.ASK_CONTACT
    assert await links.chat_of(phone) == CHAT
    assert await links.phone_of(EVE) is None


async def test_a_repeated_update_does_nothing_and_is_not_answered(links: TelegramLinks) -> None:
    phone = some_phone()
    await answer_to(links, contact(1, phone))
    await links.unlink(phone)

    assert await handle(links, contact(1, phone), clock=Clock()) is None
    assert await links.chat_of(phone) is None


@pytest.mark.parametrize("sent", [None, [], {"update_id": 1}, {"update_id": "1", "message": {}}])
async def test_what_is_no_message_is_not_answered(links: TelegramLinks, sent: object) -> None:
    assert await handle(links, sent, clock=Clock()) is None


async def test_an_answer_that_cannot_be_sent_breaks_nothing(bot_api: BotApi, bot: Bot) -> None:
    hello = Answer(chat=CHAT, reply=Reply(text="?", keyboard=Keyboard.ASK_CONTACT))
    await say(bot, hello)
    bot_api.blocked.add(CHAT)
    await say(bot, hello)

    assert len(bot_api.messages) == 1
