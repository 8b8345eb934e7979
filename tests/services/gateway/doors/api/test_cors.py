"""What every answer carries."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from services.gateway.doors.api.cors import Cors
from services.gateway.doors.domain.doors import with_hosts
from services.gateway.settings import LOOPBACK
from tests.services.gateway.app import gateway_settings

PAGE = "https://scanner.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-api-key",
}
FROM_PAGE = {"Origin": PAGE}


def answering(status: int, *headers: tuple[bytes, bytes]) -> Any:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b""})

    return app


async def unreachable(_: Any, __: Any, ___: Any) -> None:
    raise AssertionError


def client(app: Any = None, *origins: str, **options: Any) -> AsyncClient:
    options = {"pages": lambda _: origins or (PAGE,)} | options
    cors = Cors(app or answering(200), **options)
    return AsyncClient(
        transport=ASGITransport(cors, client=("127.0.0.1", 5555)), base_url="http://gateway"
    )


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "wanted",
    [
        "content-type,x-api-key",
        "x-api-key, last-event-id, idempotency-key, if-match, x-consistency-token",
    ],
    ids=("usual", "all"),
)
async def test_a_preflight_of_an_allowed_page_is_answered_here(method: str, wanted: str) -> None:
    asking = PREFLIGHT | {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": wanted,
    }
    async with client(unreachable) as c:
        answer = await c.options("/api/v1/events/batch", headers=asking)

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-headers"] == wanted
    assert answer.headers["access-control-max-age"] == "600"
    methods = answer.headers["access-control-allow-methods"].split(", ")
    assert {"GET", "POST", "DELETE"} <= {*methods}
    assert "Origin" in answer.headers["vary"]


async def test_a_preflight_of_another_page_is_refused_in_plain_text() -> None:
    async with client() as c:
        answer = await c.options("/", headers={**PREFLIGHT, "Origin": "https://evil.example"})

    assert (answer.status_code, answer.text) == (400, "Disallowed CORS origin")
    assert "access-control-allow-origin" not in answer.headers


SHOP = [f"http://localhost:{port}" for port in (3000, 5173, 5174, 5177, 5178, 5181, 5182)]
USUAL = ["http://localhost:3000", "http://localhost:8080"]
SCALES = ["http://localhost:5173", "http://127.0.0.1:5173"]
LISTED = {"scan": USUAL, "crm": USUAL, "scales": SCALES, "shop": SHOP, "kiosk": USUAL}
EVERYWHERE = {origin for origins in LISTED.values() for origin in origins}
PLACES = [
    *((f"http://gateway/{door}/any", origins) for door, origins in LISTED.items()),
    *((f"http://{door}.example/any", origins) for door, origins in LISTED.items()),
    ("http://gateway/api/v1/events/batch", LISTED["scan"]),
    ("http://gateway/devices", LISTED["scales"]),
    ("http://gateway/auth/login", EVERYWHERE),
]


@pytest.mark.parametrize(("url", "allowed"), PLACES, ids=[url for url, _ in PLACES])
async def test_each_door_allows_the_origins_of_its_own_contract(
    url: str, allowed: list[str]
) -> None:
    settings = gateway_settings("http://127.0.0.1:1", cors_origins=None)
    doors = with_hosts({f"{door}.example": door for door in LISTED})

    async with client(pages=settings.pages_at, doors=doors) as c:
        answers = {page: await c.get(url, headers={"Origin": page}) for page in EVERYWHERE}

    let_in = {p for p, answer in answers.items() if "access-control-allow-origin" in answer.headers}
    assert let_in == set(allowed)


@pytest.mark.parametrize("origin", ["null", PAGE + ".evil.example", PAGE + ":8443", "http:"])
async def test_a_similar_origin_is_not_allowed(origin: str) -> None:
    async with client() as c:
        answer = await c.get("/", headers={"Origin": origin})

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("status", [200, 401, 404, 413, 429, 500, 502, 503, 504])
async def test_every_answer_tells_an_allowed_page_that_it_may_read_it(status: int) -> None:
    async with client(answering(status)) as c:
        answer = await c.post("/", headers=FROM_PAGE)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-expose-headers"] == (
        "X-Request-Id, X-Process-Time, X-Consistency-Token, X-Stale, X-Kept-Since, "
        "Idempotent-Replayed, "
        "Content-Disposition, ETag, Link, RateLimit, RateLimit-Policy, Retry-After"
    )
    assert "Origin" in answer.headers["vary"]


async def test_if_all_origins_are_allowed_credentials_are_not() -> None:
    async with client(None, "*") as c:
        answer = await c.get("/", headers={"Origin": "https://any.example"})

    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


HTML = (b"content-type", b"text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # No answer to a GET can be kept by the scanner's service worker.
        ([], {"vary": ["*"], "cache-control": ["no-store"]}),
        # Nobody inside can allow a page a second time.
        ([(b"access-control-allow-origin", b"*")], {"access-control-allow-origin": [PAGE]}),
        # What must not be kept is not kept by the service worker either.
        (
            [(b"cache-control", b"no-cache"), (b"vary", b"Accept")],
            {"cache-control": ["no-cache"], "vary": ["*"]},
        ),
        # What a service says about caching stands.
        (
            [(b"cache-control", b"max-age=5"), (b"vary", b"Accept")],
            {"cache-control": ["max-age=5"], "vary": ["Accept", "Origin"]},
        ),
        # A page keeps its own policy.
        (
            [
                HTML,
                (b"content-security-policy", b"default-src 'self'"),
                (b"x-frame-options", b"SAMEORIGIN"),
            ],
            {"content-security-policy": ["default-src 'self'"], "x-frame-options": ["SAMEORIGIN"]},
        ),
    ],
    ids=("nothing", "origin", "no cache", "cache", "policy"),
)
@pytest.mark.parametrize("status", [200, 401])
async def test_what_a_service_says_itself(
    given: list[tuple[bytes, bytes]], expected: dict[str, list[str]], status: int
) -> None:
    async with client(answering(status, *given)) as c:
        answer = await c.get("/", headers=FROM_PAGE)

    assert {name: answer.headers.get_list(name) for name in expected} == expected


async def test_every_answer_is_safe_to_show_and_a_page_in_no_frame() -> None:
    async with client() as c:
        answer = await c.post("/")
    async with client(answering(200, HTML)) as c:
        page = await c.get("/")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert "content-security-policy" not in answer.headers
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


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
async def test_hsts_is_sent_over_https_only(url: str, proto: str, trusted: Any, told: bool) -> None:
    async with client(trusted=trusted) as c:
        answer = await c.get(url, headers={"X-Forwarded-Proto": proto} if proto else {})

    assert ("strict-transport-security" in answer.headers) is told
