"""The webhook: only Telegram is accepted, each update is handled once and answered."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.telemetry import traces
from libs.testing.polling import eventually
from services.gateway import bootstrap
from services.gateway.bot.api import MAX_UPDATE_BYTES, SECRET_HEADER
from services.gateway.telegram.adapters import webhook_secret
from tests.services.gateway.app import gateway_settings
from tests.services.gateway.bot_api import CHAT, TOKEN, BotApi, error
from tests.services.gateway.code_context import some_phone
from tests.services.gateway.harness import client_of, gateway_on
from tests.services.gateway.shop_door import Door, with_bot
from tests.services.gateway.test_bootstrap import served

HOOK = "/api/telegram/webhook"
SECRET = {SECRET_HEADER: webhook_secret(TOKEN)}


@pytest.fixture
async def door(door: Door) -> Door:
    """One that knows no update yet."""
    await door.deps.system.execute("DELETE FROM telegram_once")
    return door


def update(number: int = 1, **message: Any) -> dict[str, Any]:
    chat = {"from": {"id": CHAT}, "chat": {"id": CHAT, "type": "private"}}
    return {"update_id": number, "message": chat | message}


async def test_an_update_is_done_and_answered(door: Door) -> None:
    phone = some_phone()
    shared = update(contact={"phone_number": phone, "user_id": CHAT})

    answer = await door.client.post(HOOK, json=shared, headers=SECRET)

    assert (answer.status_code, answer.content) == (200, b"")
    assert await door.deps.code_context.links.chat_of(phone) == CHAT
    assert phone[-4:] in door.api.last_to(CHAT)["text"]


@pytest.mark.parametrize("header", [None, "", "wrong", webhook_secret(TOKEN)[:-1], TOKEN])
async def test_an_update_without_the_secret_is_refused(door: Door, header: str | None) -> None:
    headers = {} if header is None else {SECRET_HEADER: header}

    answer = await door.client.post(HOOK, json=update(text="/start"), headers=headers)

    assert answer.status_code == 401
    assert door.api.calls == []


async def test_a_repeated_update_is_taken_and_ignored(door: Door) -> None:
    for _ in range(3):
        answer = await door.client.post(HOOK, json=update(text="/start"), headers=SECRET)
        assert answer.status_code == 200

    assert door.api.calls == ["sendMessage"]


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(5):
        yield b"x" * (MAX_UPDATE_BYTES // 4)


OTHER_KINDS: tuple[Any, ...] = ({}, [], {"update_id": 1, "poll": {}}, "text", 1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        # Updates of other kinds are thanked for.
        *(({"json": body}, 200) for body in OTHER_KINDS),
        # What is no JSON or too large is refused.
        *(({"content": body}, 400) for body in (b"", b"{", b"\xff", b"[" * 10_000)),
        ({"content": b"x" * (MAX_UPDATE_BYTES + 1)}, 413),
        ({"content": chunks}, 413),
    ],
)
async def test_what_is_no_message_is_not_answered(
    door: Door, sent: dict[str, Any], status: int
) -> None:
    given = sent | {"content": chunks()} if sent.get("content") is chunks else sent

    answer = await door.client.post(HOOK, headers=SECRET, **given)

    assert (answer.status_code, door.api.calls) == (status, [])


async def test_the_status_says_where_updates_go(door: Door) -> None:
    inactive = (await door.client.get(f"{HOOK}/status")).json()
    assert door.deps.code_context.bot is not None
    await door.deps.code_context.bot.set_webhook("https://shop.example/hook", secret="s")
    active = (await door.client.get(f"{HOOK}/status")).json()

    assert inactive["status"] == "inactive"
    assert active["status"] == "active"
    assert (active["url"], active["pending_update_count"]) == ("https://shop.example/hook", 0)


async def test_while_telegram_is_away_there_is_an_error(door: Door) -> None:
    async def broken(_: Any) -> Any:
        return error(500, "Internal Server Error")

    door.api.crooked = broken
    answer = await door.client.get(f"{HOOK}/status")

    assert answer.json() == {"status": "error", "error": "away"}
    assert TOKEN.partition(":")[2] not in answer.text


async def test_without_a_bot_updates_are_refused(url: str, bot_api: BotApi) -> None:
    async with (
        gateway_on(url, **with_bot(bot_api, telegram_token=None)) as deps,
        client_of(deps) as client,
    ):
        status = await client.get(f"{HOOK}/status")
        answers = [
            await client.post(HOOK, json=update(text="/start"), headers=headers)
            for headers in (SECRET, {SECRET_HEADER: ""})
        ]

    assert status.json() == {"status": "not_initialized"}
    assert [answer.status_code for answer in answers] == [401, 401]


async def test_a_gateway_says_where_it_is_and_is_called_there(url: str, bot_api: BotApi) -> None:
    webhook_registered = f"https://shop.example{HOOK}"
    given = {"database_url": url, "profile": "demo", "telegram_webhook_url": webhook_registered}
    settings = gateway_settings("http://127.0.0.1:1", **with_bot(bot_api, **given))
    async with (
        bootstrap.open_app(settings, traces.set_up("gateway"), {}) as app,
        served(app) as address,
    ):
        await eventually(lambda: bot_api.webhook, webhook_registered, what="the announcement")
        bot_api.webhook = f"{address}{HOOK}"

        assert await bot_api.bring(update(77, text="/help")) == 200
        await eventually(lambda: bot_api.calls.count("sendMessage"), 1, what="the answer")
        bot_api.secret = "another"
        assert await bot_api.bring(update(78, text="/help")) == 401
