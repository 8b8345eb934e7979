"""What every answer carries."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from services.gateway.api.cors import Cors
from services.gateway.settings import LOOPBACK

PAGE = "https://scanner.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-api-key",
}


def answering(status: int, *headers: tuple[bytes, bytes]) -> Any:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b""})

    return app


async def unreachable(_: Any, __: Any, ___: Any) -> None:
    raise AssertionError


def client(app: Any = None, *origins: str) -> AsyncClient:
    cors = Cors(app or answering(200), origins=origins or (PAGE,))
    return AsyncClient(transport=ASGITransport(cors), base_url="http://gateway")


async def test_a_preflight_of_an_allowed_page_is_answered_here() -> None:
    async with client(unreachable) as c:
        answer = await c.options("/api/v1/events/batch", headers=PREFLIGHT)

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-headers"] == "content-type,x-api-key"
    assert answer.headers["access-control-max-age"] == "600"
    assert set(answer.headers["access-control-allow-methods"].split(", ")) >= {
        "GET",
        "POST",
        "DELETE",
    }
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_page_may_send_whatever_header_it_asks_for(method: str) -> None:
    wanted = "x-api-key, last-event-id, idempotency-key, if-match, x-consistency-token"
    asking = PREFLIGHT | {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": wanted,
    }

    async with client(unreachable) as c:
        answer = await c.options("/api/v1/dashboard/stream", headers=asking)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-headers"] == wanted


async def test_a_preflight_of_another_page_is_refused_in_plain_text() -> None:
    async with client() as c:
        answer = await c.options("/", headers={**PREFLIGHT, "Origin": "https://evil.example"})

    assert (answer.status_code, answer.text) == (400, "Disallowed CORS origin")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["null", PAGE + ".evil.example", PAGE + ":8443", "http:"])
async def test_an_origin_that_only_looks_alike_is_not_allowed(origin: str) -> None:
    async with client() as c:
        answer = await c.get("/", headers={"Origin": origin})

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("status", [200, 401, 404, 413, 429, 500, 502, 503, 504])
async def test_every_answer_tells_an_allowed_page_that_it_may_read_it(status: int) -> None:
    async with client(answering(status)) as c:
        answer = await c.post("/", headers={"Origin": PAGE})

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-expose-headers"] == (
        "X-Request-Id, X-Process-Time, X-Consistency-Token, X-Stale, X-Kept-Since, "
        "Content-Disposition, ETag, Link, Retry-After"
    )
    assert "Origin" in answer.headers["vary"]


async def test_nobody_inside_can_say_it_a_second_time() -> None:
    inner = answering(200, (b"access-control-allow-origin", b"*"))
    async with client(inner) as c:
        answer = await c.get("/", headers={"Origin": PAGE})

    assert answer.headers.get_list("access-control-allow-origin") == [PAGE]


async def test_if_everybody_is_allowed_nobody_is_allowed_with_credentials() -> None:
    async with client(None, "*") as c:
        answer = await c.get("/", headers={"Origin": "https://any.example"})

    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_no_get_answer_can_be_kept_by_the_scanners_service_worker() -> None:
    async with client(answering(401)) as c:
        answer = await c.get("/", headers={"Origin": PAGE})

    assert answer.headers["vary"] == "*"
    assert answer.headers["cache-control"] == "no-store"


async def test_an_answer_that_must_not_be_kept_is_not_kept_by_the_service_worker_either() -> None:
    inner = answering(200, (b"cache-control", b"no-cache"), (b"vary", b"Accept"))
    async with client(inner) as c:
        answer = await c.get("/", headers={"Origin": PAGE})

    assert answer.headers.get_list("cache-control") == ["no-cache"]
    assert answer.headers.get_list("vary") == ["*"]


async def test_what_a_service_says_about_caching_stands() -> None:
    inner = answering(200, (b"cache-control", b"max-age=5"), (b"vary", b"Accept"))
    async with client(inner) as c:
        answer = await c.get("/", headers={"Origin": PAGE})

    assert answer.headers["cache-control"] == "max-age=5"
    assert answer.headers.get_list("vary") == ["Accept", "Origin"]


async def test_every_answer_is_safe_to_show() -> None:
    async with client() as c:
        answer = await c.post("/")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert "content-security-policy" not in answer.headers


async def test_a_page_that_says_nothing_of_frames_is_shown_in_none() -> None:
    async with client(answering(200, (b"content-type", b"text/html; charset=utf-8"))) as c:
        answer = await c.get("/")

    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_a_page_keeps_its_own_policy() -> None:
    said = [(b"content-type", b"text/html"), (b"content-security-policy", b"default-src 'self'")]
    async with client(answering(200, *said, (b"x-frame-options", b"SAMEORIGIN"))) as c:
        answer = await c.get("/")

    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers.get_list("x-frame-options") == ["SAMEORIGIN"]


@pytest.mark.parametrize(
    ("url", "proto", "trusted", "told"),
    [
        ("http://gateway/", "", (), False),
        ("https://gateway/", "", (), True),
        ("http://gateway/", "https", (), False),
        ("http://gateway/", "https", LOOPBACK, True),
        ("http://gateway/", "http", LOOPBACK, False),
    ],
)
async def test_only_who_comes_over_https_is_told_to_stay_there(
    url: str, proto: str, trusted: Any, told: bool
) -> None:
    headers = {"X-Forwarded-Proto": proto} if proto else {}
    app = Cors(answering(200), origins=(PAGE,), trusted=trusted)
    transport = ASGITransport(app, client=("127.0.0.1", 5555))
    async with AsyncClient(transport=transport) as c:
        answer = await c.get(url, headers=headers)

    assert ("strict-transport-security" in answer.headers) is told
