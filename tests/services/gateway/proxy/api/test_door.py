"""The scan door, as the scanner and its dashboard know it, also when something is in trouble."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from httpx import AsyncClient, Response

from libs.security import tokens
from libs.testing.polling import eventually
from libs.testing.servers import tcp_server
from services.gateway.doors.domain.door import Limit
from services.gateway.doors.stores import Limits, parse_limits
from services.gateway.settings import Settings
from tests.services.gateway.app import KEY, PAGE, READER, Keys, Opener, Service

BATCH, STATE = "/api/v1/events/batch", "/api/v1/dashboard/state"
SCANNER = {"Origin": PAGE, "X-API-Key": KEY, "Content-Type": "application/json"}


def readable(answer: Response) -> bool:
    """Whether the scanner's page may read the answer."""
    return answer.headers.get_list("access-control-allow-origin") == [PAGE]


@pytest.mark.parametrize("path", [BATCH, f"/scan{BATCH}", f"/{BATCH}", f"/api/v1{BATCH}"])
async def test_a_scanner_sends_its_batch(gateway: AsyncClient, service: Service, path: str) -> None:
    answer = await gateway.post(f"http://gateway{path}", headers=SCANNER, content=b'{"events":[]}')

    assert answer.status_code == 200
    assert answer.json() == {"ok": True}
    assert answer.headers["x-consistency-token"] == "7"
    wanted = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    before = await gateway.options(f"http://gateway{path}", headers=wanted)
    assert before.status_code == 200
    assert readable(before)
    assert readable(answer)
    (asked,) = service.requests
    assert (asked.path, asked.headers["Content-Type"]) == (BATCH, "application/json")
    assert service.bodies == [b'{"events":[]}']


async def test_a_dashboard_asks_for_its_state(gateway: AsyncClient, service: Service) -> None:
    answer = await gateway.get(f"{STATE}?date=2025-10-31&operator=%D0%B0%26b", headers=SCANNER)

    assert answer.status_code == 200
    assert readable(answer)
    assert service.requests[0].raw_path == f"{STATE}?date=2025-10-31&operator=%D0%B0%26b"


@pytest.mark.parametrize(
    "key", [None, "", "wrong", KEY[:-1], KEY + "k", "x" * 10_000], ids=range(6)
)
async def test_only_valid_keys_are_accepted(
    gateway: AsyncClient, service: Service, key: str | None
) -> None:
    headers = {"Origin": PAGE} | ({} if key is None else {"X-API-Key": key})

    answer = await gateway.post(BATCH, headers=headers, json={"events": []})

    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid or missing API key"}
    assert readable(answer)
    assert service.requests == []


async def test_a_key_opens_only_what_it_is_for(gateway: AsyncClient, service: Service) -> None:
    gateway.headers = {"Origin": PAGE, "X-API-Key": READER}

    reading = await gateway.get(STATE)
    writing = await gateway.post(BATCH, json={"events": []})
    removing = await gateway.delete("/api/v1/events/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80")

    assert (reading.status_code, writing.status_code, removing.status_code) == (200, 403, 403)
    assert set(writing.json()) == {"detail"}
    assert readable(writing)
    assert len(service.requests) == 1


async def test_a_service_can_verify_the_caller(open_gateway: Opener, service: Service) -> None:
    async with open_gateway(issuer="the-gateway") as gateway:
        await gateway.get(STATE, headers={"X-API-Key": READER})
        published = tokens.keys_from_jwks((await gateway.get("/.well-known/jwks.json")).json())

    bearer = service.requests[0].headers["Authorization"].removeprefix("Bearer ")
    now = datetime.now(UTC)
    claims = tokens.verify(bearer, published, audience="ingest", issuer="the-gateway", now=now)
    assert (claims.tenant, {*claims.scopes}) == ("other", {"scan:read"})
    assert claims.subject == "00000000-0000-0000-0000-000000000002"
    assert 0 < (claims.expires_at - now).total_seconds() <= 300


async def test_no_token_goes_where_none_is_needed(gateway: AsyncClient, service: Service) -> None:
    await gateway.get("/scan/ping", headers={"Authorization": "Bearer forged"})

    assert service.requests[0].path == "/ping"
    assert "Authorization" not in service.requests[0].headers


async def test_a_request_has_the_clients_id_or_a_new_one(
    gateway: AsyncClient, service: Service
) -> None:
    kept = await gateway.get(STATE, headers=SCANNER | {"X-Request-Id": "scan-42"})
    refused = [(await gateway.post(BATCH)).headers["x-request-id"] for _ in range(2)]

    assert kept.headers.get_list("x-request-id") == ["scan-42"]
    assert service.requests[0].headers.getall("X-Request-Id") == ["scan-42"]
    assert all(len(one) > 8 for one in refused)
    assert refused[0] != refused[1]


@pytest.mark.parametrize(
    ("path", "service_name"),
    [
        *(("/crm/api/v1/objects", "crm"), ("/api/v1/visits/7", "crm")),
        *(("/kiosk/api/v1/orders", "kiosk"), ("/api/v1/kiosk/orders/3", "kiosk")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_door_whose_service_is_not_installed_says_so(
    gateway: AsyncClient, method: str, path: str, service_name: str
) -> None:
    answer = await gateway.request(method, path, content=b"{}")

    assert answer.status_code == 503
    assert answer.json() == {"detail": f"The service {service_name} is not installed here"}
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_door_without_its_service_still_answers_logins(gateway: AsyncClient) -> None:
    form = {"username": "anna@example.com", "password": "x"}
    login = await gateway.post("/crm/api/v1/auth/token", data=form)
    wrong_method = await gateway.get("/crm/api/v1/auth/token")

    # The database of this gateway is away.
    assert login.status_code == 503
    assert "installed" not in login.text
    assert wrong_method.status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "status", "answered"),
    [
        ("GET", "/api/v1/events/", 404, {"detail": "Not Found"}),
        ("GET", "/nowhere", 404, {"detail": "Not Found"}),
        ("GET", BATCH, 405, {"detail": "Method Not Allowed"}),
        # The service's inner room.
        ("GET", "/scan/metrics", 404, {"detail": "Not Found"}),
        # Out of the door.
        ("GET", "/scan/%2e%2e/metrics", 400, None),
    ],
)
async def test_an_address_that_is_none_reads_as_it_always_did_and_never_reaches_the_service(
    gateway: AsyncClient, service: Service, method: str, path: str, status: int, answered: object
) -> None:
    url = f"http://gateway{path}"
    answer = await gateway.request(method, url, headers=SCANNER, content=b'{"events":[]}')

    assert answer.status_code == status
    if answered is not None:
        assert answer.json() == answered
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)
    assert readable(answer)
    assert service.requests == []


@pytest.mark.parametrize(
    ("method", "path", "forwarded"),
    [
        ("GET", f"/scan{STATE}/?date=2025-10-31", f"{STATE}?date=2025-10-31"),
        ("POST", f"{BATCH}/", BATCH),
        ("POST", f"//api/v1{BATCH}/", BATCH),
    ],
)
async def test_a_slash_too_much_is_answered_like_the_right_address(
    gateway: AsyncClient, service: Service, method: str, path: str, forwarded: str
) -> None:
    url = f"http://gateway{path}"
    answer = await gateway.request(method, url, headers=SCANNER, content=b'{"events":[]}')

    assert answer.status_code == 200
    assert service.requests[0].path_qs == forwarded


@pytest.mark.parametrize("slash", ["", "/"])
async def test_routes_of_the_gateway_itself_answer_with_and_without_a_slash(
    gateway: AsyncClient, slash: str
) -> None:
    answer = await gateway.post(f"/scales/auth/login{slash}", json={})

    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "username"])


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_body_that_is_not_json_is_refused_before_the_key_is_checked(
    gateway: AsyncClient, service: Service, key: str
) -> None:
    gateway.headers = SCANNER | {"X-API-Key": key}

    for body in (b"{", b"not json", b'{"events":[}', b"[" * 60_000):
        answer = await gateway.post(BATCH, content=body)
        assert answer.status_code == 422
        (detail,) = answer.json()["detail"]
        assert (detail["type"], detail["loc"]) == ("json_invalid", ["body", 0])
        assert readable(answer)
    others = [await gateway.post(BATCH, content=body) for body in (b"", b"7", b"{" * 1_000_000)]
    others.append(await gateway.post(BATCH, headers={"Content-Type": "text/plain"}, content=b"{"))
    others.append(await gateway.get(STATE))

    assert [answer.status_code for answer in others] == [401] * 5
    assert service.requests == []


def final(answer: Response) -> bool:
    """Whether the scanner, reading it, gives up instead of trying again."""
    return "401" in answer.text or "403" in answer.text


@pytest.mark.parametrize(("failure", "status"), [("away", 503), ("hangs up", 502), ("late", 504)])
async def test_a_service_in_trouble_is_worth_another_try(
    open_gateway: Opener, service: Service, failure: str, status: int
) -> None:
    async def disconnect(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    service.answer = never
    async with tcp_server(disconnect) as url:
        urls = {"away": "http://127.0.0.1:1", "hangs up": url, "late": service.url}
        limit = {"answer_seconds": 0.2} if failure == "late" else {}
        async with open_gateway(ingest_url=urls[failure], **limit) as gateway:
            answer = await gateway.post(BATCH, headers=SCANNER, json={"events": []})

    assert answer.status_code == status
    assert status != 503 or int(answer.headers["retry-after"]) >= 1
    assert set(answer.json()) == {"detail"}
    assert readable(answer)
    assert not final(answer)


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 16_384):
        yield b"x" * 16_384


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_within_the_limit_arrives_whole(
    gateway: AsyncClient, service: Service, *, chunked: bool
) -> None:
    async def measure(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(len(await request.content.read()))

    service.answer = measure
    content = pieces(1_048_576) if chunked else b"x" * 1_048_576
    answer = await gateway.post(BATCH, headers=SCANNER, content=content)

    assert answer.json() == 1_048_576


async def test_too_many_requests_get_a_retry_after(open_gateway: Opener) -> None:
    async with open_gateway(rate_limit_dashboard="5/hour") as gateway:
        answers = [await gateway.get(STATE, headers=SCANNER) for _ in range(6)]
        writing = await gateway.post(BATCH, headers=SCANNER, json={"events": []})
        other = await gateway.get(STATE, headers={"X-API-Key": READER})

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers]
    assert left == [f'"dashboard";r={n}' for n in (4, 3, 2, 1, 0, 0)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"dashboard";q=5;w=3600'}
    assert int(answers[5].headers["retry-after"]) >= 1
    assert readable(answers[5])
    assert not final(answers[5])
    assert (writing.status_code, other.status_code) == (200, 200)


@pytest.mark.parametrize(
    ("limit", "requests"),
    [
        # Ten people open a dashboard, five questions each, and keep filtering it for a minute.
        ("dashboard", 10 * (5 + 2 * 2 + 20)),
        # A hundred devices, 66 requests each; those back from an hour offline, 27 in 5 minutes;
        # and all of them trying thrice while the service is away.
        ("ingest", 100 * (66 + 27 // 5 + 1)),
        ("ingest", 100 * 3 * 66),
    ],
)
async def test_the_default_limits_have_room_for_many_people_behind_one_address(
    limit: str, requests: int
) -> None:
    limits = Limits({Limit(limit): Settings.model_fields[f"rate_limit_{limit}"].default})

    answers = [
        await limits.hit(Limit(limit), key="shared", address="10.0.0.1") for _ in range(requests)
    ]

    assert set(answers) == {None}


async def test_by_default_a_day_of_polling_dashboards_is_let_through() -> None:
    by_key = parse_limits(Settings.model_fields["rate_limit_dashboard"].default)

    # Ten viewers on one key, each asking twice every half minute.
    assert all(one.item.amount / one.item.get_expiry() > 10 * 2 / 30 for one in by_key)


@pytest.mark.parametrize(
    ("limit", "method", "path"),
    [("removal", "POST", "/api/v1/events/remove"), ("export", "GET", "/api/v1/export/csv")],
)
async def test_removals_and_exports_are_limited_as_they_were_announced(
    open_gateway: Opener, limit: str, method: str, path: str
) -> None:
    async with open_gateway() as gateway:
        answers = [await gateway.request(method, path, headers=SCANNER) for _ in range(101)]
        writing = await gateway.post(BATCH, headers=SCANNER, json={"events": []})

    assert [answer.status_code for answer in answers] == [200] * 100 + [429]
    assert answers[-1].headers["ratelimit-policy"] == f'"{limit}";q=100;w=60'
    assert writing.status_code == 200


async def test_what_a_limit_refuses_goes_nowhere_and_may_be_sent_again(
    open_gateway: Opener, service: Service
) -> None:
    async with open_gateway(rate_limit_ingest="1/second") as gateway:
        sent: list[bytes] = []

        async def refused() -> Response | None:
            """Another body, which a busy machine may send so late that it is taken."""
            sent.append(b'{"events":[%d]}' % len(sent))
            answer = await gateway.post(BATCH, headers=SCANNER, content=sent[-1])
            return answer if answer.status_code != 200 else None

        limited = await eventually(refused, what="a refusal")
        assert service.bodies == sent[:-1]

        async def taken() -> bool:
            again = await gateway.post(BATCH, headers=SCANNER, content=sent[-1])
            return again.status_code == 200

        assert await eventually(taken, what="the body to be taken")

    assert service.bodies == sent
    assert limited is not None
    assert limited.status_code == 429
    assert limited.json() == {"detail": "Too many requests, try again later"}
    assert int(limited.headers["retry-after"]) >= 1
    assert readable(limited)
    assert not final(limited)


async def test_known_keys_open_while_the_database_is_away(open_gateway: Opener, keys: Keys) -> None:
    async with open_gateway(key_fresh_seconds=0) as gateway:
        await gateway.get(STATE, headers=SCANNER)
        keys.away = True
        known = await gateway.get(STATE, headers=SCANNER)
        unknown = await gateway.get(STATE, headers={"X-API-Key": READER})

    assert (known.status_code, unknown.status_code) == (200, 503)
    assert int(unknown.headers["retry-after"]) >= 1
    assert not final(unknown)
