"""The whole gateway on a real server and a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from httpx import AsyncClient

from libs.process.lifecycle import serve
from libs.testing.callers import client_of
from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.servers import tcp_server
from services.gateway import bootstrap
from services.gateway.api_keys.handlers import revoke
from services.gateway.api_keys.read_models import keys_of
from services.gateway.api_keys.stores.key_uses import last_uses
from services.gateway.context import Deps
from services.gateway.settings import Settings
from tests.services.gateway.app import (
    KEY,
    PAGE,
    Keys,
    Service,
    gateway_settings,
    open_app,
    open_context,
)
from tests.services.gateway.identities import catch_up

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
SHARED = "0123456789abcdef0123456789abcdef"
WITH_KEY = {"X-API-Key": KEY, "Origin": PAGE}


@asynccontextmanager
async def served(app: Any, port: int = 0) -> AsyncIterator[str]:
    """The URL of the app on a real server, by default at any free port."""
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(app, "127.0.0.1", port, stop=stop, on_listening=listening.set_result)
    )
    url = f"http://127.0.0.1:{await asyncio.wait_for(listening, PATIENCE_SECONDS)}"
    try:
        await eventually(lambda: _answers(url), what=f"{url} to answer")
        yield url
    finally:
        stop.set()
        await serving


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as client, client.get(f"{url}/ping"):
            return True
    except aiohttp.ClientConnectorError:
        return False


@asynccontextmanager
async def gateway_before(
    service: Service, keys: Keys, **different: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a gateway on a real server in front of the service."""
    async with (
        open_app(service, keys, **different) as app,
        served(app) as url,
        aiohttp.ClientSession(url) as client,
    ):
        yield client


async def test_a_long_answer_is_streamed(service: Service, keys: Keys) -> None:
    go_on = asyncio.Semaphore(0)

    async def export(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await response.prepare(request)
        for number in range(5):
            await response.write(b"row %d\r\n" % number * 1000)
            await go_on.acquire()
        return response

    service.answer = export
    async with (
        gateway_before(service, keys) as client,
        client.get("/api/v1/export/csv", headers=WITH_KEY) as answer,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        for number in range(5):
            expected = b"row %d\r\n" % number * 1000
            assert await answer.content.readexactly(len(expected)) == expected
            go_on.release()
        assert await answer.content.read() == b""
        assert answer.headers["Content-Type"] == "text/csv"


@pytest.mark.parametrize(
    ("answered", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200),
        (b"Content-Length: 100\r\n\r\n", 502),
        (b"Transfer-Encoding: chunked\r\n\r\n", 502),
    ],
    ids=("half", "nothing", "nothing in chunks"),
)
async def test_an_answer_that_broke_off_is_neither_complete_nor_empty(
    keys: Keys, answered: bytes, status: int
) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + answered)
        await writer.drain()

    async with (
        tcp_server(half) as url,
        gateway_before(Service(url=url), keys) as client,
        client.get(STATE, headers=WITH_KEY) as answer,
    ):
        assert answer.status == status
        if status == 502:
            assert "detail" in await answer.json()
        else:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_gets_its_answer_on_the_wire(
    service: Service, keys: Keys, *, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b"x" * 65_536

    data: Any = pieces() if chunked else BytesIO(b"x" * 1_048_576)
    async with (
        gateway_before(service, keys, max_body_bytes=262_144) as client,
        client.post(BATCH, data=data, headers=WITH_KEY) as answer,
    ):
        assert answer.status == 413
        assert answer.headers.getall("Access-Control-Allow-Origin") == [PAGE]
        assert await answer.json() == {"detail": "The request body is too large"}
        assert service.bodies == []


async def test_a_large_upload_with_a_bad_key_gets_its_refusal(service: Service, keys: Keys) -> None:
    data, headers = BytesIO(b"x" * 8_388_608), {"X-API-Key": "wrong"}
    async with (
        gateway_before(service, keys) as client,
        client.post(BATCH, data=data, headers=headers) as answer,
    ):
        assert answer.status == 401
        assert await answer.json() == {"detail": "Invalid or missing API key"}


@pytest.fixture
async def settings(database: str, service: Service) -> Settings:
    """Of a gateway on a migrated database, with the key that old clients share."""
    return gateway_settings(
        service.url, database_url=database, scan_client_key=SHARED, key_fresh_seconds=0
    )


async def state(client: AsyncClient, key: str) -> int:
    """What the door says to a key."""
    return (await client.get(STATE, headers={"X-API-Key": key})).status_code


async def revoke_only_key(deps: Deps, tenant: str) -> None:
    (key,) = await keys_of(deps.system, tenant)
    given: dict[str, Any] = {"tenant": tenant, "key_id": key.key_id}
    await revoke(deps.store, **given, reason="leaked", actor="anna")


async def test_the_key_of_the_old_clients_opens_from_the_first_start_and_stays_revoked(
    settings: Settings, service: Service
) -> None:
    tenant = settings.scan_client_key_tenant
    for _ in range(2):
        async with open_context(settings):
            pass

    for expected in (200, 401):
        async with (
            open_context(settings) as deps,
            client_of(bootstrap.create_app(deps)) as client,
        ):
            await catch_up(deps.identity)
            assert await state(client, SHARED) == expected
            assert await keys_of(deps.system, "other") == []
            await revoke_only_key(deps, tenant)

    assert len(service.requests) == 1
    async with open_context(settings) as deps:
        (listed,) = await keys_of(deps.system, tenant)
        assert listed.revoked_because == "leaked"
        assert set(await last_uses(deps.system, tenant)) == {listed.key_id}


async def test_ready_means_that_the_key_of_the_old_clients_opens(
    settings: Settings, service: Service
) -> None:
    async def ready(client: AsyncClient) -> tuple[int, bool]:
        answer = await client.get("/ready")
        checks = {check["name"]: check["ok"] for check in answer.json()["checks"]}
        return answer.status_code, checks["client key"]

    async with (
        open_context(settings) as deps,
        client_of(bootstrap.create_app(deps)) as client,
    ):
        early = await state(client, SHARED), await ready(client)
        await catch_up(deps.identity)
        still_remembered = await state(client, SHARED)
        then = await ready(client), await state(client, SHARED)
        await revoke_only_key(deps, settings.scan_client_key_tenant)
        await catch_up(deps.identity)
        assert (await ready(client))[1]
    async with (
        open_context(settings) as deps,
        client_of(bootstrap.create_app(deps)) as client,
    ):
        assert (await ready(client))[1]

    assert early == (401, (503, False))
    assert still_remembered == 401
    assert then[0][1]
    assert then[1] == 200


async def test_health_is_true(settings: Settings, service: Service, keys: Keys) -> None:
    async with (
        open_context(settings) as deps,
        client_of(bootstrap.create_app(deps)) as client,
    ):
        healthy = await client.get("/health")
    async with open_app(service, keys) as app, client_of(app) as client:
        ill = await client.get("/health")

    assert healthy.status_code == 200
    assert healthy.json() == {"status": "healthy", "version": "1.0.0", "database": "connected"}
    assert ill.status_code == 503
    assert ill.json()["status"] == "unhealthy"
