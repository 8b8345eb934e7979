"""The scan door, as the scanner and its dashboard know it."""

from datetime import UTC, datetime

import pytest
from httpx import AsyncClient, Response

from libs.security import tokens
from tests.services.gateway.conftest import KEY, PAGE, READER, Keys, Opener, Service

BATCH = "/api/v1/events/batch"
STATE = "/api/v1/dashboard/state"
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
    assert readable(answer)
    assert service.asked[0].path == BATCH
    assert service.asked[0].headers["Content-Type"] == "application/json"
    assert service.bodies == [b'{"events":[]}']


async def test_a_dashboard_asks_for_its_state(gateway: AsyncClient, service: Service) -> None:
    answer = await gateway.get(f"{STATE}?date=2025-10-31&operator=%D0%B0%26b", headers=SCANNER)

    assert answer.status_code == 200
    assert readable(answer)
    assert service.asked[0].raw_path == f"{STATE}?date=2025-10-31&operator=%D0%B0%26b"


async def test_a_browser_asks_before_it_sends(gateway: AsyncClient, service: Service) -> None:
    asking = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }

    answer = await gateway.options(BATCH, headers=asking)

    assert answer.status_code == 200
    assert readable(answer)
    assert answer.headers["access-control-allow-headers"] == "content-type,x-api-key"
    assert service.asked == []


async def test_the_scanners_connection_test_is_answered(gateway: AsyncClient) -> None:
    answer = await gateway.get("/?ping=1")

    assert answer.status_code == 200
    assert answer.json()["name"] == "Scanner Logger API"


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "k", "x" * 10_000])
async def test_without_a_good_key_nothing_passes(
    gateway: AsyncClient, service: Service, key: str | None
) -> None:
    headers = {"Origin": PAGE} | ({} if key is None else {"X-API-Key": key})

    answer = await gateway.post(BATCH, headers=headers, json={"events": []})

    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid or missing API key"}
    assert readable(answer)
    assert service.asked == []


async def test_a_key_opens_only_what_it_is_for(gateway: AsyncClient, service: Service) -> None:
    reader = {"Origin": PAGE, "X-API-Key": READER}

    reading = await gateway.get(STATE, headers=reader)
    writing = await gateway.post(BATCH, headers=reader, json={"events": []})
    removing = await gateway.delete(
        "/api/v1/events/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80", headers=reader
    )

    assert (reading.status_code, writing.status_code, removing.status_code) == (200, 403, 403)
    assert set(writing.json()) == {"detail"}
    assert readable(writing)
    assert len(service.asked) == 1


async def test_a_revoked_key_opens_nothing_any_more(open_gateway: Opener, keys: Keys) -> None:
    async with open_gateway(key_fresh_seconds=0) as gateway:
        before = await gateway.get(STATE, headers=SCANNER)
        keys.callers.clear()
        after = await gateway.get(STATE, headers=SCANNER)

    assert (before.status_code, after.status_code) == (200, 401)


async def test_the_service_learns_who_calls_from_a_token_that_it_can_check(
    open_gateway: Opener, service: Service
) -> None:
    async with open_gateway(issuer="the-gateway") as gateway:
        await gateway.get(STATE, headers={"X-API-Key": READER})
        published = tokens.keys_from_jwks((await gateway.get("/.well-known/jwks.json")).json())

    bearer = service.asked[0].headers["Authorization"].removeprefix("Bearer ")
    now = datetime.now(UTC)
    claims = tokens.verify(bearer, published, audience="ingest", issuer="the-gateway", now=now)
    assert claims.tenant == "other"
    assert claims.scopes == {"scan:read"}
    assert claims.subject == "00000000-0000-0000-0000-000000000002"
    assert 0 < (claims.expires_at - now).total_seconds() <= 300


async def test_what_a_client_claims_about_itself_never_arrives(
    gateway: AsyncClient, service: Service
) -> None:
    claims = {
        "Authorization": "Bearer forged",
        "X-Tenant": "victim",
        "Tenant": "victim",
        "X-Forwarded-For": "10.1.1.1",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=10.1.1.1",
        "Cookie": "session=stolen",
        "Connection": "X-Nothing",
        "TE": "trailers",
    }

    await gateway.get(STATE, headers=SCANNER | claims)

    (asked,) = service.asked
    assert asked.headers.getall("Authorization") != ["Bearer forged"]
    assert len(asked.headers.getall("Authorization")) == 1
    assert asked.headers.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert asked.headers.getall("X-Forwarded-Host") == ["gateway"]
    assert asked.headers.getall("X-Forwarded-Proto") == ["http"]
    absent = {"X-API-Key", "X-Tenant", "Tenant", "Forwarded", "Cookie", "TE", "Connection"}
    assert not absent & set(asked.headers)


async def test_no_token_goes_where_none_is_needed(gateway: AsyncClient, service: Service) -> None:
    await gateway.get("/scan/ping", headers={"Authorization": "Bearer forged"})

    assert service.asked[0].path == "/ping"
    assert "Authorization" not in service.asked[0].headers


async def test_a_request_keeps_its_id_all_the_way(gateway: AsyncClient, service: Service) -> None:
    answer = await gateway.get(STATE, headers=SCANNER | {"X-Request-Id": "scan-42"})

    assert answer.headers.get_list("x-request-id") == ["scan-42"]
    assert service.asked[0].headers.getall("X-Request-Id") == ["scan-42"]


async def test_every_request_gets_an_id_even_when_it_is_refused(gateway: AsyncClient) -> None:
    answers = [await gateway.post(BATCH) for _ in range(2)]

    assert all(len(answer.headers["x-request-id"]) > 8 for answer in answers)
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]


async def test_an_unknown_address_and_a_wrong_method_read_as_they_always_did(
    gateway: AsyncClient, service: Service
) -> None:
    unknown = await gateway.get("/api/v1/events/", headers=SCANNER)
    method = await gateway.get(BATCH, headers=SCANNER)

    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not Found"})
    assert (method.status_code, method.json()) == (405, {"detail": "Method Not Allowed"})
    assert method.headers["allow"] == "POST"
    assert readable(unknown)
    assert readable(method)
    assert service.asked == []


@pytest.mark.parametrize(
    ("method", "path", "location"),
    [
        ("GET", f"/scan{STATE}/?date=2025-10-31", f"/scan{STATE}?date=2025-10-31"),
        ("POST", f"{BATCH}/", BATCH),
        ("POST", f"//api/v1{BATCH}/", BATCH),
    ],
)
async def test_a_slash_too_much_is_led_to_the_right_address(
    gateway: AsyncClient, service: Service, method: str, path: str, location: str
) -> None:
    url = f"http://gateway{path}"
    answer = await gateway.request(method, url, headers=SCANNER, content=b'{"events":[]}')

    assert answer.status_code == 307
    assert answer.headers["location"] == location
    assert readable(answer)
    assert service.asked == []


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_a_body_that_is_no_json_is_said_so_before_anybody_asks_for_the_key(
    gateway: AsyncClient, service: Service, key: str | None
) -> None:
    headers = SCANNER | {"X-API-Key": key or ""}

    garbage = [
        await gateway.post(BATCH, headers=headers, content=body)
        for body in (b"{", b"not json", b'{"events":[}', b"[" * 60_000)
    ]
    others = [
        await gateway.post(BATCH, headers=headers, content=b""),
        await gateway.post(BATCH, headers=headers, content=b"7"),
        await gateway.post(BATCH, headers=headers | {"Content-Type": "text/plain"}, content=b"{"),
        await gateway.post(BATCH, headers=headers, content=b"{" * 1_000_000),
        await gateway.get(STATE, headers=headers),
    ]

    for answer in garbage:
        assert answer.status_code == 422
        (detail,) = answer.json()["detail"]
        assert (detail["type"], detail["loc"]) == ("json_invalid", ["body", 0])
        assert readable(answer)
    assert [answer.status_code for answer in others] == [401] * 5
    assert service.asked == []


@pytest.mark.parametrize(
    "path", ["/scan/%2e%2e/metrics", "/scan/..%2fmetrics", "/scan/api/v1/logs/%252e%252e/x"]
)
async def test_nobody_climbs_out_of_the_door(
    gateway: AsyncClient, service: Service, path: str
) -> None:
    answer = await gateway.get(path, headers=SCANNER)

    assert answer.status_code == 400
    assert service.asked == []


@pytest.mark.parametrize("path", ["/scan/metrics", "/scan/ready"])
async def test_a_services_inner_rooms_are_not_shown(
    gateway: AsyncClient, service: Service, path: str
) -> None:
    answer = await gateway.get(path, headers=SCANNER)

    assert answer.status_code == 404
    assert service.asked == []
