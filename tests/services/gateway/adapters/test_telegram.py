"""Speaking to the Bot API, and to one that is in trouble."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from libs.http.client import open_client
from services.gateway.adapters import telegram
from services.gateway.adapters.telegram import (
    Bot,
    Failed,
    Sent,
    Trouble,
    WebhookInfo,
    open_bot,
    webhook_secret,
)
from services.gateway.domain.bot_update import BUTTON, Keyboard
from tests.services.gateway.adapters.bot_api import TOKEN, BotApi, error, open_bot_api

ANNA = 4242
HOOK = "https://shop.example/api/telegram/webhook"


@dataclass
class Time:
    """A clock that only moves when somebody waits."""

    now: float = 1000.0
    waited: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with open_bot_api() as fake:
        fake.chats.add(ANNA)
        yield fake


@pytest.fixture
async def bot(api: BotApi) -> AsyncIterator[Bot]:
    async with open_bot(api.url, TOKEN) as made:
        yield made


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def patient(api: BotApi, time: Time) -> AsyncIterator[Bot]:
    async with open_client() as session:
        yield Bot(session, url=api.url, token=TOKEN, pause=time.pause, now=lambda: time.now)


async def test_a_message_arrives_as_plain_text(api: BotApi, bot: Bot) -> None:
    sent = await bot.send_message(ANNA, "*код* <b>1</b>", protect=True)

    assert sent == Sent(message_id=1)
    (message,) = api.messages
    assert (message["chat_id"], message["text"]) == (ANNA, "*код* <b>1</b>")
    assert message["protect_content"] is True
    assert "parse_mode" not in message


async def test_a_contact_is_asked_for_with_a_button(api: BotApi, bot: Bot) -> None:
    await bot.send_message(ANNA, "?", keyboard=Keyboard.ASK_CONTACT)
    await bot.send_message(ANNA, "!", keyboard=Keyboard.NONE)

    asked, thanked = (message["reply_markup"] for message in api.messages)
    assert asked["keyboard"] == [[{"text": BUTTON, "request_contact": True}]]
    assert thanked == {"remove_keyboard": True}


async def test_who_blocked_the_bot_and_who_never_started_it_are_told_apart(
    api: BotApi, bot: Bot
) -> None:
    api.blocked.add(7)

    assert await bot.send_message(7, "?") == Failed(trouble=Trouble.BLOCKED)
    assert await bot.send_message(8, "?") == Failed(trouble=Trouble.UNKNOWN_CHAT)


async def test_a_message_telegram_does_not_take_is_our_mistake(bot: Bot) -> None:
    assert await bot.send_message(ANNA, "") == Failed(trouble=Trouble.REFUSED)


async def test_a_wrong_token_is_our_mistake(api: BotApi) -> None:
    async with open_bot(api.url, TOKEN.replace("A", "B")) as stranger:
        assert await stranger.send_message(ANNA, "?") == Failed(trouble=Trouble.REFUSED)
    assert api.messages == []


async def test_a_short_wait_is_waited_for_once(api: BotApi, patient: Bot, time: Time) -> None:
    api.limits.append(2)

    assert isinstance(await patient.send_message(ANNA, "?"), Sent)
    assert time.waited == [2]


async def test_a_chat_is_left_alone_as_long_as_telegram_wants(
    api: BotApi, patient: Bot, time: Time
) -> None:
    api.chats.add(7)
    api.limits.append(40)

    first = await patient.send_message(ANNA, "?")
    second = await patient.send_message(ANNA, "?")
    calls = len(api.calls)
    other = await patient.send_message(7, "?")
    time.now += 40
    later = await patient.send_message(ANNA, "?")

    assert first == second == Failed(trouble=Trouble.LIMITED, retry_after=40)
    assert calls == 1
    assert isinstance(other, Sent)
    assert isinstance(later, Sent)
    assert time.waited == []


async def test_nobody_is_kept_waiting_twice(api: BotApi, patient: Bot, time: Time) -> None:
    api.limits.extend([1, 3])

    assert await patient.send_message(ANNA, "?") == Failed(trouble=Trouble.LIMITED, retry_after=3)
    assert time.waited == [1]


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
async def test_what_is_no_proper_answer_is_nobody_there(
    api: BotApi, bot: Bot, crooked: Any
) -> None:
    api.crooked = crooked

    assert await bot.send_message(ANNA, "?") == Failed(trouble=Trouble.AWAY)
    # Neither repeated nor led elsewhere.
    assert len(api.calls) == 1


async def test_an_answer_that_does_not_come_is_nobody_there(
    api: BotApi, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = asyncio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        await given_up.wait()
        return web.Response()

    api.crooked = late
    monkeypatch.setattr(telegram, "CALL_SECONDS", 0.1)

    assert await bot.send_message(ANNA, "?") == Failed(trouble=Trouble.AWAY)
    given_up.set()


async def test_no_failure_says_the_token(
    api: BotApi, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    said: list[object] = []
    with capture_logs() as lines:
        for crooked in (nonsense, broken, elsewhere, hung_up, None):
            api.crooked = crooked
            said.append(await bot.send_message(8, "?"))
        async with open_bot("http://127.0.0.1:1", TOKEN) as nowhere:
            said += [await nowhere.send_message(ANNA, "?"), await nowhere.webhook_info()]
        async with open_bot("http://[", TOKEN) as nonsensical:
            said.append(await nonsensical.send_message(ANNA, "?"))

    assert all(isinstance(one, Failed) for one in said)
    assert len(lines) == len(said)
    assert TOKEN.partition(":")[2] not in f"{lines} {said} {bot!r} {caplog.text}"


async def test_the_webhook_is_set_with_its_secret(api: BotApi, bot: Bot) -> None:
    before = await bot.webhook_info()
    assert await bot.set_webhook(HOOK, secret=webhook_secret(TOKEN)) is None
    after = await bot.webhook_info()

    assert isinstance(before, WebhookInfo)
    assert isinstance(after, WebhookInfo)
    assert (before.url, after.url) == ("", HOOK)
    assert api.secret == webhook_secret(TOKEN)
    assert TOKEN not in api.secret


async def test_a_webhook_telegram_does_not_take_is_said(bot: Bot) -> None:
    refused = await bot.set_webhook("http://shop.example", secret="s")

    assert refused == Failed(trouble=Trouble.REFUSED)


async def test_the_status_is_asked_for_once_in_a_while(
    api: BotApi, patient: Bot, time: Time
) -> None:
    for _ in range(3):
        await patient.webhook_info()
    once = len(api.calls)
    time.now += telegram.INFO_SECONDS
    await patient.webhook_info()

    assert (once, len(api.calls)) == (1, 2)


async def test_a_failure_is_logged_by_its_class(api: BotApi, bot: Bot) -> None:
    api.crooked = hung_up
    with capture_logs() as lines:
        await bot.send_message(ANNA, "?")

    assert [line["reason"] for line in lines] == ["ServerDisconnectedError"]
