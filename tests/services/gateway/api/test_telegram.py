"""The webhook: Telegram alone is heard, each update once, and its answer follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from libs.process.lifecycle import serve
from libs.telemetry import traces
from services.gateway import bootstrap
from services.gateway.adapters.telegram import webhook_secret
from services.gateway.api.telegram import MAX_UPDATE_BYTES, SECRET_HEADER
from services.gateway.deps import Deps
from tests.services.gateway.adapters.bot_api import TOKEN, BotApi, error, open_bot_api
from tests.services.gateway.code_desk import BOT_NAME, some_phone
from tests.services.gateway.conftest import gateway_settings, until

HOOK = "/api/telegram/webhook"
ANNA = 4242
SECRET = {SECRET_HEADER: webhook_secret(TOKEN)}


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with open_bot_api() as fake:
        fake.chats.add(ANNA)
        yield fake


@pytest.fixture
async def deps(url: str, api: BotApi) -> AsyncIterator[Deps]:
    async with bootstrap.open_deps(settings_of(url, api)) as opened:
        await opened.pool.execute("DELETE FROM telegram_once")
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(bootstrap.create_app(deps))
    async with AsyncClient(transport=transport, base_url="http://gateway") as opened:
        yield opened


def settings_of(url: str, api: BotApi, **different: Any) -> Any:
    told = {"telegram_url": api.url, "telegram_token": TOKEN, "telegram_bot": BOT_NAME}
    return gateway_settings("http://127.0.0.1:1", database_url=url, **told | different)


def update(number: int = 1, **message: Any) -> dict[str, Any]:
    said = {"from": {"id": ANNA}, "chat": {"id": ANNA, "type": "private"}}
    return {"update_id": number, "message": said | message}


async def test_what_telegram_brings_is_done_and_answered(
    client: AsyncClient, api: BotApi, deps: Deps
) -> None:
    phone = some_phone()
    shared = update(contact={"phone_number": phone, "user_id": ANNA})

    answer = await client.post(HOOK, json=shared, headers=SECRET)

    assert (answer.status_code, answer.content) == (200, b"")
    assert await deps.code_desk.links.chat_of(phone) == ANNA
    assert phone[-4:] in api.last_to(ANNA)["text"]


@pytest.mark.parametrize("shown", [None, "", "wrong", webhook_secret(TOKEN)[:-1], TOKEN])
async def test_nobody_else_is_heard(client: AsyncClient, api: BotApi, shown: str | None) -> None:
    headers = {} if shown is None else {SECRET_HEADER: shown}

    answer = await client.post(HOOK, json=update(text="/start"), headers=headers)

    assert answer.status_code == 401
    assert api.calls == []


async def test_a_repeated_update_is_thanked_for_and_ignored(
    client: AsyncClient, api: BotApi
) -> None:
    for _ in range(3):
        answer = await client.post(HOOK, json=update(text="/start"), headers=SECRET)
        assert answer.status_code == 200

    assert api.calls == ["sendMessage"]


@pytest.mark.parametrize("said", [{}, [], {"update_id": 1, "poll": {}}, "text", 1])
async def test_updates_of_other_kinds_are_thanked_for(
    client: AsyncClient, api: BotApi, said: object
) -> None:
    answer = await client.post(HOOK, json=said, headers=SECRET)

    assert (answer.status_code, api.calls) == (200, [])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000])
async def test_what_is_no_json_is_refused(client: AsyncClient, body: bytes) -> None:
    answer = await client.post(HOOK, content=body, headers=SECRET)

    assert answer.status_code == 400


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_too_large_is_refused(client: AsyncClient, *, chunked: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * (MAX_UPDATE_BYTES // 4)

    content: Any = parts() if chunked else b"x" * (MAX_UPDATE_BYTES + 1)
    answer = await client.post(HOOK, content=content, headers=SECRET)

    assert answer.status_code == 413


async def test_the_status_says_where_updates_go(client: AsyncClient, deps: Deps) -> None:
    inactive = (await client.get(f"{HOOK}/status")).json()
    assert deps.code_desk.bot is not None
    await deps.code_desk.bot.set_webhook("https://shop.example/hook", secret="s")
    active = (await client.get(f"{HOOK}/status")).json()

    assert inactive["status"] == "inactive"
    assert active["status"] == "active"
    assert (active["url"], active["pending_update_count"]) == ("https://shop.example/hook", 0)


async def test_the_status_of_a_telegram_that_is_away_is_an_error(
    client: AsyncClient, api: BotApi
) -> None:
    async def broken(_: Any) -> Any:
        return error(500, "Internal Server Error")

    api.crooked = broken
    answer = await client.get(f"{HOOK}/status")

    assert answer.json() == {"status": "error", "error": "away"}
    assert TOKEN.partition(":")[2] not in answer.text


async def test_without_a_bot_nobody_is_heard(url: str, api: BotApi) -> None:
    settings = settings_of(url, api, telegram_token=None)
    async with bootstrap.open_deps(settings) as deps:
        transport = ASGITransport(bootstrap.create_app(deps))
        async with AsyncClient(transport=transport, base_url="http://gateway") as client:
            status = await client.get(f"{HOOK}/status")
            heard = await client.post(HOOK, json=update(text="/start"), headers=SECRET)
            unheard = await client.post(HOOK, json=update(), headers={SECRET_HEADER: ""})

    assert status.json() == {"status": "not_initialized"}
    assert (heard.status_code, unheard.status_code) == (401, 401)


@asynccontextmanager
async def running(settings: Any) -> AsyncIterator[int]:
    """The port of a whole gateway on a real server."""
    telemetry = traces.set_up("gateway")
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with bootstrap.open_app(settings, telemetry, {}) as app:
        serving = asyncio.create_task(
            serve(app, "127.0.0.1", 0, stop=stop, listening=port.set_result)
        )
        try:
            yield await asyncio.wait_for(port, 20)
        finally:
            stop.set()
            await serving


async def test_a_gateway_tells_telegram_where_it_is_and_hears_it_there(
    url: str, api: BotApi
) -> None:
    announced = "https://shop.example/api/telegram/webhook"
    async with running(settings_of(url, api, telegram_webhook_url=announced)) as port:
        await until(lambda: api.webhook == announced)
        api.webhook = f"http://127.0.0.1:{port}{HOOK}"

        assert await api.bring(update(77, text="/help")) == 200
        await until(lambda: api.calls.count("sendMessage") == 1)
        api.secret = "another"
        assert await api.bring(update(78, text="/help")) == 401
