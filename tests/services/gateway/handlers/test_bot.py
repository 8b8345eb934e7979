"""What the bot does when somebody says something, with a real database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.postgres.pool import Pool
from services.gateway.adapters.telegram import open_bot
from services.gateway.adapters.telegram_links import TelegramLinks
from services.gateway.domain.bot_update import Keyboard, Reply
from services.gateway.handlers.bot import Answer, handle, say
from tests.services.gateway.adapters.bot_api import TOKEN, open_bot_api
from tests.services.gateway.code_desk import SEAL, Time, pool_of, some_phone

ANNA, EVE = 4242, 666


@pytest.fixture
async def links(url: str) -> AsyncIterator[TelegramLinks]:
    async with pool_of(url) as pool:
        await emptied(pool)
        yield TelegramLinks(pool, seal=SEAL)


async def emptied(pool: Pool) -> None:
    for table in ("telegram_link", "telegram_once"):
        await pool.execute(f"DELETE FROM {table}")


def update(number: int, sender: int = ANNA, **message: Any) -> dict[str, Any]:
    said = {"from": {"id": sender}, "chat": {"id": sender, "type": "private"}}
    return {"update_id": number, "message": said | message}


def contact(number: int, phone: str, *, sender: int = ANNA, owner: int = ANNA) -> dict[str, Any]:
    return update(number, sender, contact={"phone_number": phone[1:], "user_id": owner})


async def heard(links: TelegramLinks, said: object) -> Answer | None:
    return await handle(links, said, clock=Time())


async def test_an_own_contact_is_linked_and_said_to_be(links: TelegramLinks) -> None:
    phone = some_phone()

    answer = await heard(links, contact(1, phone))
    status = await heard(links, update(2, text="/status"))

    assert answer is not None
    assert status is not None
    assert (answer.chat, answer.reply.keyboard) == (ANNA, Keyboard.NONE)
    assert phone[-4:] in status.reply.text
    assert await links.chat_of(phone) == ANNA


async def test_the_contact_of_somebody_else_is_not_linked(links: TelegramLinks) -> None:
    phone = some_phone()
    await heard(links, contact(1, phone))

    stolen = await heard(links, contact(2, phone, sender=EVE))
    typed = await heard(links, update(3, EVE, text=phone))

    assert stolen is not None
    assert typed is not None
    assert stolen.reply.keyboard is typed.reply.keyboard is Keyboard.ASK_CONTACT
    assert await links.chat_of(phone) == ANNA
    assert await links.phone_of(EVE) is None


async def test_a_repeated_update_does_nothing_and_says_nothing(links: TelegramLinks) -> None:
    phone = some_phone()
    first = await heard(links, contact(1, phone))
    await links.unlink(phone)
    second = await heard(links, contact(1, phone))

    assert first is not None
    assert second is None
    assert await links.chat_of(phone) is None


@pytest.mark.parametrize("said", [None, [], {"update_id": 1}, {"update_id": "1", "message": {}}])
async def test_what_nobody_said_is_not_answered(links: TelegramLinks, said: object) -> None:
    assert await heard(links, said) is None


async def test_an_answer_nobody_hears_breaks_nothing() -> None:
    async with open_bot_api() as api, open_bot(api.url, TOKEN) as bot:
        api.chats.add(ANNA)
        hello = Answer(chat=ANNA, reply=Reply(text="?", keyboard=Keyboard.ASK_CONTACT))
        await say(bot, hello)
        api.blocked.add(ANNA)
        await say(bot, hello)

    assert len(api.messages) == 1
