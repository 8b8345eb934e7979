"""Speaking to the Bot API, also in trouble, and which Telegram account reads which phone."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from libs.http.client import open_client
from libs.postgres.pool import Pool
from libs.testing.clock import NOON, Clock, MonotonicClock
from services.gateway.telegram import adapters as telegram
from services.gateway.telegram.adapters import (
    Bot,
    Failed,
    FailureReason,
    Sent,
    open_bot,
    webhook_secret,
)
from services.gateway.telegram.domain.bot_update import BUTTON, Keyboard
from services.gateway.telegram.stores.links import UPDATES_REMEMBERED, TelegramLinks
from tests.services.gateway.bot_api import CHAT, TOKEN, BotApi, error
from tests.services.gateway.code_context import SEAL, some_phone

AWAY = Failed(reason=FailureReason.AWAY)


@dataclass
class Waiting(MonotonicClock):
    """Seconds that go by when the bot waits; how long it did each time."""

    waited: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.advance(seconds)


@pytest.fixture
def time() -> Waiting:
    return Waiting()


@pytest.fixture
async def patient(bot_api: BotApi, time: Waiting) -> AsyncIterator[Bot]:
    async with open_client() as session:
        yield Bot(session, url=bot_api.url, token=TOKEN, pause=time.pause, now=time)


async def test_a_message_arrives_as_plain_text(bot_api: BotApi, bot: Bot) -> None:
    sent = await bot.send_message(CHAT, "*код* <b>1</b>", protect=True)

    assert sent == Sent(message_id=1)
    (message,) = bot_api.messages
    assert (message["chat_id"], message["text"]) == (CHAT, "*код* <b>1</b>")
    assert message["protect_content"] is True
    assert "parse_mode" not in message


async def test_a_contact_is_requested_with_a_button(bot_api: BotApi, bot: Bot) -> None:
    await bot.send_message(CHAT, "?", keyboard=Keyboard.ASK_CONTACT)
    await bot.send_message(CHAT, "!", keyboard=Keyboard.NONE)

    question, thanks = (message["reply_markup"] for message in bot_api.messages)
    assert question["keyboard"] == [[{"text": BUTTON, "request_contact": True}]]
    assert thanks == {"remove_keyboard": True}


@pytest.mark.parametrize(
    ("chat", "text", "token", "reason"),
    [
        pytest.param(7, "?", TOKEN, FailureReason.BLOCKED, id="blocked"),
        pytest.param(8, "?", TOKEN, FailureReason.UNKNOWN_CHAT, id="never started"),
        pytest.param(CHAT, "", TOKEN, FailureReason.REFUSED, id="no text"),
        pytest.param(CHAT, "?", TOKEN.replace("A", "B"), FailureReason.REFUSED, id="wrong token"),
    ],
)
async def test_failures_to_send_are_distinguished(
    bot_api: BotApi, chat: int, text: str, token: str, reason: FailureReason
) -> None:
    bot_api.blocked.add(7)

    async with open_bot(bot_api.url, token) as bot:
        assert await bot.send_message(chat, text) == Failed(reason=reason)
    assert bot_api.messages == []


async def test_a_bot_waits_shortly_and_once(bot_api: BotApi, patient: Bot, time: Waiting) -> None:
    bot_api.limits.append(2)
    assert isinstance(await patient.send_message(CHAT, "?"), Sent)
    assert time.waited == [2]

    bot_api.limits.extend([1, 3])
    assert await patient.send_message(CHAT, "?") == Failed(
        reason=FailureReason.LIMITED, retry_after=3
    )
    assert time.waited == [2, 1]


async def test_a_limited_chat_is_left_alone(bot_api: BotApi, patient: Bot, time: Waiting) -> None:
    bot_api.chats.add(7)
    bot_api.limits.append(40)

    first = await patient.send_message(CHAT, "?")
    second = await patient.send_message(CHAT, "?")
    calls = len(bot_api.calls)
    other = await patient.send_message(7, "?")
    time.advance(40)
    later = await patient.send_message(CHAT, "?")

    assert first == second == Failed(reason=FailureReason.LIMITED, retry_after=40)
    assert calls == 1
    assert isinstance(other, Sent)
    assert isinstance(later, Sent)
    assert time.waited == []


async def nonsense(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>502</html>", status=502)


async def broken(_: web.Request) -> web.StreamResponse:
    return error(500, "Internal Server Error")


async def elsewhere(_: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/botsomewhere/else"})


async def hung_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize("crooked", [nonsense, broken, elsewhere, hung_up])
async def test_a_bad_answer_means_telegram_is_away(bot_api: BotApi, bot: Bot, crooked: Any) -> None:
    bot_api.crooked = crooked

    with capture_logs() as lines:
        assert await bot.send_message(CHAT, "?") == AWAY
    # Neither repeated nor led elsewhere, and logged by its class.
    assert len(bot_api.calls) == len(lines) == 1
    assert crooked is not hung_up or lines[0]["reason"] == "ServerDisconnectedError"


async def test_an_answer_that_does_not_come_means_telegram_is_away(
    bot_api: BotApi, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = asyncio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        await given_up.wait()
        return web.Response()

    bot_api.crooked = late
    monkeypatch.setattr(telegram, "CALL_SECONDS", 0.1)

    assert await bot.send_message(CHAT, "?") == AWAY
    given_up.set()


async def test_no_failure_gives_away_the_token(
    bot_api: BotApi, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answers: list[object] = []
    with capture_logs() as lines:
        for crooked in (nonsense, broken, elsewhere, hung_up, None):
            bot_api.crooked = crooked
            answers.append(await bot.send_message(8, "?"))
        async with open_bot("http://127.0.0.1:1", TOKEN) as nowhere:
            answers += [await nowhere.send_message(CHAT, "?"), await nowhere.webhook_info()]
        async with open_bot("http://[", TOKEN) as nonsensical:
            answers.append(await nonsensical.send_message(CHAT, "?"))

    assert all(isinstance(one, Failed) for one in answers)
    assert len(lines) == len(answers)
    assert TOKEN.partition(":")[2] not in f"{lines} {answers} {bot!r} {caplog.text}"


async def test_a_webhook_in_the_clear_is_refused_and_its_secret_is_not_the_token(bot: Bot) -> None:
    refused = await bot.set_webhook("http://shop.example", secret=webhook_secret(TOKEN))

    assert refused == Failed(reason=FailureReason.REFUSED)
    assert TOKEN not in webhook_secret(TOKEN)


async def test_the_status_of_the_webhook_is_cached(
    bot_api: BotApi, patient: Bot, time: Waiting
) -> None:
    for _ in range(3):
        await patient.webhook_info()
    assert len(bot_api.calls) == 1

    time.advance(telegram.INFO_SECONDS)
    await patient.webhook_info()

    assert len(bot_api.calls) == 2


numbers = itertools.count(1000)


@pytest.fixture
def links(pool: Pool) -> TelegramLinks:
    return TelegramLinks(pool, seal=SEAL)


@pytest.fixture
def phone() -> str:
    return some_phone()


async def link(links: TelegramLinks, phone: str, account: int, number: int | None = None) -> bool:
    number = next(numbers) if number is None else number
    return await links.take(number, now=NOON, phone=phone, telegram_id=account)


async def test_a_link_has_two_ends_till_it_is_forgotten(links: TelegramLinks, phone: str) -> None:
    anna = next(numbers)
    assert await links.chat_of(phone) is None
    assert await links.phone_of(anna) is None

    await link(links, phone, anna)
    assert await links.chat_of(phone) == anna
    assert await links.phone_of(anna) == phone

    await links.unlink(phone)
    assert await links.chat_of(phone) is None


async def test_the_last_link_of_phone_and_account_counts(links: TelegramLinks, phone: str) -> None:
    new, anna, boris = some_phone(), next(numbers), next(numbers)
    await link(links, phone, anna)
    await link(links, phone, boris)
    assert await links.chat_of(phone) == boris
    assert await links.phone_of(anna) is None

    await link(links, new, boris)
    assert await links.chat_of(phone) is None
    assert await links.phone_of(boris) == new


async def test_a_repeated_update_counts_once(links: TelegramLinks, phone: str) -> None:
    anna, number = next(numbers), next(numbers)

    taken = await asyncio.gather(*(link(links, phone, anna, number) for _ in range(10)))
    await link(links, phone, anna + 500_000)
    again = await link(links, phone, anna, number)

    assert sorted(taken) == [False] * 9 + [True]
    assert not again
    assert await links.chat_of(phone) == anna + 500_000


async def test_updates_are_forgotten_when_telegram_gave_up_on_them(
    links: TelegramLinks, pool: Pool, clock: Clock
) -> None:
    await links.take(next(numbers), now=clock())
    clock.now += UPDATES_REMEMBERED
    await links.take(next(numbers), now=clock())

    rest = "SELECT count(*) FROM telegram_once WHERE until <= $1"
    assert await pool.fetchval(rest, clock()) == 0


async def test_links_are_unreadable_as_stored(links: TelegramLinks, pool: Pool, phone: str) -> None:
    anna = 123_456_789
    await link(links, phone, anna)

    rows = [str(row) for row in await pool.fetch("SELECT * FROM telegram_link")]

    assert rows
    assert not any(phone[1:] in row or str(anna) in row for row in rows)
