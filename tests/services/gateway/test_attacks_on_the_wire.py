"""Attacks by how a request is spelled, on a real server: smuggled, doubled, oversize."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.http.revocations import Revocations
from libs.security.tokens import SigningKey
from libs.testing.polling import PATIENCE_SECONDS
from tests.services.gateway.app import KEY, READER, Keys, Service, open_app
from tests.services.gateway.doorstep import DOORS, access_token
from tests.services.gateway.test_bootstrap import served

STATE = "/api/v1/dashboard/state"
BATCH = "/api/v1/events/batch"
SMUGGLED = f"GET {STATE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nX-Smuggled: 1\r\n\r\n"
SIGNING = SigningKey.generate()
# Made when the tests are collected, long before they run.
TOKEN = access_token(SIGNING, ["scan:read"], lifetime=timedelta(days=1))


@pytest.fixture
async def url(service: Service, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    # Without a worker the gateway cannot know which sessions are over, and asks after old tokens.
    monkeypatch.setattr(Revocations, "blind_since", None)
    settings: dict[str, Any] = {"signing_key": SIGNING.to_pem(), "max_body_bytes": 65_536}
    async with open_app(service, keys, doors=DOORS, **settings) as app, served(app) as made:
        yield made


async def spoken(url: str, *parts: str, linger: float = 0.0) -> bytes:
    """The head of what the server says to this, and what more it says for so many seconds."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = b""
    try:
        writer.write("".join(parts).encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await writer.drain()
            said = await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(linger):
            while more := await reader.read(65_536):
                said += more
    except (asyncio.IncompleteReadError, ConnectionError):
        return said
    except TimeoutError:
        assert said, "no answer"
    finally:
        writer.close()
    return said


def request_text(*headers: str, method: str = "GET", path: str = STATE) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", *headers, "", ""]
    return "\r\n".join(lines)


def status(answer: bytes) -> int:
    """Of the first answer; 0 if there was none."""
    return int(answer.split(maxsplit=2)[1]) if answer else 0


@pytest.mark.parametrize(
    "headers",
    [
        (f"X-API-Key: {KEY}", "X-API-Key: wrong"),
        ("X-API-Key: wrong", f"X-API-Key: {KEY}"),
        (f"X-API-Key: {KEY}", f"x-api-key: {READER}"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer nonsense"),
        ("Authorization: Bearer nonsense", f"Authorization: Bearer {TOKEN}"),
        (f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}"),
        (f"Authorization: Bearer {TOKEN}", "X-API-Key: wrong"),
        (f"Authorization: Bearer {TOKEN}", "X-API-Key:"),
        (f"Authorization: Basic {TOKEN}",),
        (f"X_API_Key: {KEY}",),
    ],
    ids=range(10),
)
async def test_repeated_credentials_count_as_none(
    url: str, service: Service, headers: tuple[str, ...]
) -> None:
    assert status(await spoken(url, request_text(f"Authorization: Bearer {TOKEN}"))) == 200

    assert status(await spoken(url, request_text(*headers))) == 401
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "shown",
    [f"X-API-Key: {READER}", f"Authorization: Bearer {TOKEN}"],
    ids=("key", "token"),
)
async def test_claims_of_a_client_reach_no_service(url: str, service: Service, shown: str) -> None:
    claimed = [
        f"{name}: demo-of-somebody-else"
        for name in (
            *("X-Tenant", "X_Tenant", "x-tenant-id", "Tenant", "X-Scopes", "X_Scopes", "X-Subject"),
            *("X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Host", "X-Forwarded-User"),
            *("X-Real-IP", "Forwarded", "Via", "X-Internal-Token", "X-Auth-User", "Cookie"),
        )
    ]
    hop = ("Connection: Authorization, X-Request-Id", "TE: trailers")

    assert status(await spoken(url, request_text(shown, *claimed, *hop))) == 200

    (asked,) = service.requests
    assert "somebody-else" not in str(asked.raw_headers)
    assert len(asked.headers.getall("Authorization")) == 1
    assert READER not in str(asked.raw_headers)
    assert TOKEN not in str(asked.raw_headers)
    said = [asked.headers.getall(f"X-Forwarded-{name}") for name in ("For", "Host", "Proto")]
    assert said == [["127.0.0.1"], ["gateway"], ["http"]]
    absent = {"X-API-Key", "X-Tenant", "Tenant", "Forwarded", "Cookie", "TE", "Connection"}
    assert not absent & set(asked.headers)


@pytest.mark.parametrize(
    "framing",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Transfer-Encoding: chunked, chunked", "Content-Length: 4"),
        ("Transfer-Encoding: xchunked", "Content-Length: 4"),
        ("Transfer-Encoding : chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 40"),
        ("Content-Length: 4, 40",),
        ("Content-Length: +4",),
        ("Content-Length: -4",),
        ("Content-Length: 0x4",),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("filler", [0, 40_000])
async def test_no_second_request_is_smuggled_in_the_first(
    url: str, service: Service, framing: tuple[str, ...], filler: int
) -> None:
    # Whichever of the two one believes: what lies behind the first body must stay a body.
    body = f"[1]{' ' * filler}\r\n{SMUGGLED}"
    chunked = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    head = request_text(
        f"X-API-Key: {KEY}", "Content-Type: application/json", *framing, method="POST", path=BATCH
    )

    answer = await spoken(url, head, chunked, linger=0.3)

    assert not [request for request in service.requests if "X-Smuggled" in request.headers]
    assert [request.method for request in service.requests] in ([], ["POST"])
    if status(answer) == 200:
        (whole,) = service.bodies
        assert whole.decode() == body
    else:
        assert status(answer) in (0, 400, 413)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (BATCH, "application/json"),
        ("/scales/auth/register", "application/json"),
        ("/api/auth/request-otp", "application/json"),
        ("/api/v1/auth/token", "application/x-www-form-urlencoded"),
        ("/oauth/token", "application/x-www-form-urlencoded"),
        ("/oauth/device", "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize(
    "chunks", ["ZZ\r\nabc\r\n", "-1\r\n", "3\r\nabcdef\r\n", "f" * 17 + "\r\n"]
)
async def test_a_chunk_without_a_size_is_a_bad_request(
    url: str, service: Service, path: str, kind: str, chunks: str
) -> None:
    framing = ("Transfer-Encoding: chunked", f"Content-Type: {kind}", f"X-API-Key: {KEY}")

    answer = await spoken(url, request_text(*framing, method="POST", path=path), chunks, linger=0.1)

    assert status(answer) == 400
    assert b'"detail"' in answer
    assert service.bodies == []


@pytest.mark.parametrize(
    "line",
    [
        f"X-Note: a\r\n\tX-API-Key: {KEY}",
        f"X-Note: a\rX-API-Key: {KEY}",
        f"X-Note: a\nX-API-Key: {KEY}\x00",
        f"X-API-Key : {KEY}",
        f": {KEY}",
    ],
    ids=range(5),
)
async def test_no_header_hides_in_another(url: str, service: Service, line: str) -> None:
    assert status(await spoken(url, request_text(line))) in (0, 400, 401)
    assert service.requests == []


@pytest.mark.parametrize(
    ("headers", "path", "statuses"),
    [
        ((f"X-Long: {'a' * 33_000}",), STATE, {431}),
        (tuple(f"X-{n}: a" for n in range(3_000)), STATE, {400, 431}),
        ((f"Authorization: Bearer {'a' * 20_000}",), STATE, {401}),
        ((f"X-API-Key: {'a' * 20_000}",), STATE, {401}),
        ((), f"{STATE}?a={'a' * 17_000}", {414}),
        ((), f"/{'a/' * 9_000}", {414}),
    ],
    ids=range(6),
)
async def test_too_much_head_is_refused(
    url: str, service: Service, headers: tuple[str, ...], path: str, statuses: set[int]
) -> None:
    assert status(await spoken(url, request_text(*headers, path=path))) in statuses
    assert service.requests == []
