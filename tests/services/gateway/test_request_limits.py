"""Requests that are too long, come too slowly or hold strange texts, at doors and our routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from libs.http.body_limit import SMALL_BODY_BYTES
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.routes import assert_incomplete_bodies_time_out
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, SUPERADMIN, Realm
from services.gateway.doors.api.form import MOST_BYTES
from tests.services.gateway.app import KEY, PAGE, Keys, Opener, Service, open_app
from tests.services.gateway.harness import PASSWORD, Harness, crm_user, kiosk_user, some_email
from tests.services.gateway.test_bootstrap import served

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
USERS, AUTH = "/api/v1/users", "/api/v1/auth"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SHORT = {
    "/api/v1/keys": JSON,
    "/api/v1/account/password": JSON,
    "/oauth/token": FORM,
    "/oauth/device": FORM,
}


@pytest.mark.parametrize("path", [STATE, "/ping", "/nowhere"])
async def test_a_long_address_is_refused(open_gateway: Opener, service: Service, path: str) -> None:
    async with open_gateway(max_url_bytes=1000) as gateway:
        query = "x" * (1000 - len(path))
        headers = {"X-API-Key": KEY, "Origin": PAGE}
        fits = await gateway.get(f"{path}?{query}", headers=headers)
        over = await gateway.get(f"{path}?{query}y", headers=headers)

    assert fits.status_code != 414
    assert over.status_code == 414
    assert over.json() == {"detail": "The address is too long"}
    assert over.headers["access-control-allow-origin"] == PAGE
    assert len(service.requests) == (path == STATE)


async def test_large_headers_are_refused_in_sum(open_gateway: Opener, service: Service) -> None:
    headers = {"X-API-Key": KEY} | {f"X-Some-{n}": "x" * 100 for n in range(20)}
    async with open_gateway(max_header_bytes=2048) as gateway:
        over = await gateway.get(STATE, headers=headers)
    async with open_gateway(max_header_bytes=4096) as gateway:
        fits = await gateway.get(STATE, headers=headers)

    assert over.status_code == 431
    assert over.json() == {"detail": "The request headers are too large"}
    assert fits.status_code == 200
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *SHORT.items(),
        ("/api/v1/auth/token", FORM),
        ("/api/v1/auth/login", JSON),
        ("/api/v1/auth/refresh", JSON),
        ("/api/v1/auth/logout", JSON),
        ("/api/v1/users", JSON),
        ("/api/auth/request-otp", JSON),
    ],
)
async def test_no_body_is_longer_than_our_route_takes(
    harness: Harness, path: str, kind: str
) -> None:
    size = 1 + (MOST_BYTES if path.startswith("/oauth") else SMALL_BODY_BYTES)
    for filler in (b" ", b"x"):
        headers = {"Content-Type": kind}
        answer = await harness.client.post(path, content=filler * size, headers=headers)
        assert answer.status_code == 413
        assert answer.json().keys() & {"detail", "error"}


async def trickle() -> AsyncIterator[bytes]:
    """A body that begins and never goes on."""
    yield b'{"events"'
    await asyncio.Event().wait()


async def test_no_route_of_ours_waits_for_a_body_that_does_not_come(
    service: Service, keys: Keys
) -> None:
    async with open_app(service, keys, body_seconds=0.05) as app:
        late = await assert_incomplete_bodies_time_out(app)

    assert {*SHORT, "/auth/login", "/api/auth/verify-otp", f"{AUTH}/refresh"} <= {*late}
    assert {"/auth/register", "/api/v1/setup/superadmin", "/api/v1/kiosk/refresh"} <= {*late}


class Line:
    """A connection on which a request is written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All there is until the server hangs up."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()


@asynccontextmanager
async def line_to(
    service: Service, keys: Keys, limit: int = 65_536, **different: Any
) -> AsyncIterator[Line]:
    """A line to a gateway."""
    async with open_app(service, keys, **different) as app, served(app) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        line = Line(*await asyncio.open_connection(host, int(port), limit=limit))
        yield line
        line.writer.transport.abort()


@pytest.fixture
async def line(service: Service, keys: Keys) -> AsyncIterator[Line]:
    """A line to a gateway with little patience."""
    patience: dict[str, Any] = {"body_seconds": 0.3, "body_bytes_per_second": 1_000_000}
    async with line_to(service, keys, **patience) as made:
        yield made


def head(length: int) -> bytes:
    lines = [
        f"POST {BATCH} HTTP/1.1",
        "Host: gateway",
        f"X-API-Key: {KEY}",
        f"Origin: {PAGE}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("begun", [b'{"events":', b""], ids=("stalls", "never begins"))
async def test_a_body_that_stalls_is_answered_and_the_connection_closed(
    line: Line, service: Service, begun: bytes
) -> None:
    await line.write(head(100) + begun)

    answer = await line.rest()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"detail":"The request body came too slowly"}')
    assert b"access-control-allow-origin: " + PAGE.encode() in answer
    assert service.requests == []


async def test_a_large_body_that_trickles_is_cut_off_on_its_way_to_the_service(
    line: Line, service: Service
) -> None:
    await line.write(head(1_000_000) + b"x" * 100_000)
    # Never resting for long, but never fast enough either.
    answering = asyncio.create_task(line.rest())
    while not answering.done():
        try:
            await line.write(b"x")
        except ConnectionError:
            break
        await asyncio.sleep(0.01)

    assert (await answering).startswith(b"HTTP/1.1 408 ")
    assert service.bodies == []


async def test_the_next_request_on_a_connection_is_answered(service: Service, keys: Keys) -> None:
    async with line_to(service, keys) as line, asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(2):
            await line.write(head(13) + b'{"events":[]}')
            answer = await line.reader.readuntil(b'{"ok": true}')
            assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_takes_nothing_frees_the_service(service: Service, keys: Keys) -> None:
    left = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        finally:
            left.set()

    service.answer = endless
    asking = f"GET /api/v1/export/csv HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {KEY}\r\n\r\n"
    async with line_to(service, keys, limit=1024, idle_seconds=0.3) as line:
        await line.write(asking.encode())
        await asyncio.wait_for(left.wait(), PATIENCE_SECONDS)


async def test_without_a_valid_key_a_slow_body_is_not_waited_for(
    service: Service, keys: Keys
) -> None:
    async with (
        open_app(service, keys, body_seconds=0.2) as app,
        served(app) as url,
        aiohttp.ClientSession() as client,
        client.post(f"{url}{BATCH}", data=trickle(), headers={"X-API-Key": "wrong"}) as answer,
    ):
        assert answer.status in (401, 408)


def with_text(body: dict[str, Any], field: str, strange: str) -> str:
    """JSON that says `strange`, an escape that no encoder would make, in one field."""
    parts = [f'"{name}": "{strange if name == field else said}"' for name, said in body.items()]
    return "{" + ", ".join(parts) + "}"


@pytest.mark.parametrize("strange", ["ab\\u0000cd1234", "ab\\ud800cd1234"], ids=("NUL", "half"))
@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/api/v1/kiosk/login", {200, 401, 422}),
        (f"{AUTH}/login", {401, 422}),
        (f"{USERS}/create-admin", {200, 422}),
        (USERS, {201, 422}),
        (f"{AUTH}/refresh", {401, 422}),
        (f"{AUTH}/logout", {200, 422}),
        ("/auth/register", {201, 422}),
    ],
)
async def test_a_strange_text_is_refused_in_any_field(
    harness: Harness, path: str, statuses: set[int], strange: str
) -> None:
    is_crm = path == USERS
    boss = await harness.member(*((Realm.CRM, "ADMIN") if is_crm else (Realm.KIOSK, SUPERADMIN)))
    kiosk = await harness.account(Realm.KIOSK, KIOSK_ITSELF)

    def body() -> dict[str, Any]:
        if path.endswith("login"):
            user = {"username": kiosk.person.username, "password": PASSWORD}
            return {**user, "device_id": "hall"}
        if path.startswith(USERS):
            new = crm_user if is_crm else kiosk_user
            return new(email=some_email(), phone="8 800")
        if path == "/auth/register":
            return {"email": some_email(), "password": PASSWORD}
        return {"refresh_token": ""}

    for field in body():
        headers = {"Content-Type": "application/json"}
        if path.startswith(USERS):
            headers |= boss.headers
        content = with_text(body(), field, strange)
        answer = await harness.client.post(path, content=content, headers=headers)
        assert answer.status_code in statuses, field
