"""The scan door, as the scanner and its dashboard know it."""

from datetime import UTC, datetime

import pytest
from httpx import AsyncClient, Response

from libs.security import tokens
from tests.services.gateway.conftest import KEY, PAGE, READER, Opener, Service

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
    wanted = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    wanted |= {"Access-Control-Request-Headers": "content-type,x-api-key"}
    before = await gateway.options(f"http://gateway{path}", headers=wanted)
    assert before.status_code == 200
    assert readable(before)
    assert before.headers["access-control-allow-headers"] == "content-type,x-api-key"
    assert readable(answer)
    (asked,) = service.asked
    assert (asked.path, asked.headers["Content-Type"]) == (BATCH, "application/json")
    assert service.bodies == [b'{"events":[]}']


async def test_a_dashboard_asks_for_its_state(gateway: AsyncClient, service: Service) -> None:
    answer = await gateway.get(f"{STATE}?date=2025-10-31&operator=%D0%B0%26b", headers=SCANNER)

    assert answer.status_code == 200
    assert readable(answer)
    assert service.asked[0].raw_path == f"{STATE}?date=2025-10-31&operator=%D0%B0%26b"


@pytest.mark.parametrize(
    "key", [None, "", "wrong", KEY[:-1], KEY + "k", "x" * 10_000], ids=range(6)
)
async def test_only_good_keys_open(gateway: AsyncClient, service: Service, key: str | None) -> None:
    headers = {"Origin": PAGE} | ({} if key is None else {"X-API-Key": key})

    answer = await gateway.post(BATCH, headers=headers, json={"events": []})

    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid or missing API key"}
    assert readable(answer)
    assert service.asked == []


async def test_a_key_opens_only_what_it_is_for(gateway: AsyncClient, service: Service) -> None:
    gateway.headers = {"Origin": PAGE, "X-API-Key": READER}

    reading = await gateway.get(STATE)
    writing = await gateway.post(BATCH, json={"events": []})
    removing = await gateway.delete("/api/v1/events/0a6a7d0e-5b7f-4f4e-9d3e-2f3f5b6f7a80")

    assert (reading.status_code, writing.status_code, removing.status_code) == (200, 403, 403)
    assert set(writing.json()) == {"detail"}
    assert readable(writing)
    assert len(service.asked) == 1


async def test_a_service_can_check_who_calls(open_gateway: Opener, service: Service) -> None:
    async with open_gateway(issuer="the-gateway") as gateway:
        await gateway.get(STATE, headers={"X-API-Key": READER})
        published = tokens.keys_from_jwks((await gateway.get("/.well-known/jwks.json")).json())

    bearer = service.asked[0].headers["Authorization"].removeprefix("Bearer ")
    now = datetime.now(UTC)
    claims = tokens.verify(bearer, published, audience="ingest", issuer="the-gateway", now=now)
    assert (claims.tenant, {*claims.scopes}) == ("other", {"scan:read"})
    assert claims.subject == "00000000-0000-0000-0000-000000000002"
    assert 0 < (claims.expires_at - now).total_seconds() <= 300


async def test_no_token_goes_where_none_is_needed(gateway: AsyncClient, service: Service) -> None:
    await gateway.get("/scan/ping", headers={"Authorization": "Bearer forged"})

    assert service.asked[0].path == "/ping"
    assert "Authorization" not in service.asked[0].headers


async def test_a_request_keeps_or_gets_an_id(gateway: AsyncClient, service: Service) -> None:
    kept = await gateway.get(STATE, headers=SCANNER | {"X-Request-Id": "scan-42"})
    refused = [(await gateway.post(BATCH)).headers["x-request-id"] for _ in range(2)]

    assert kept.headers.get_list("x-request-id") == ["scan-42"]
    assert service.asked[0].headers.getall("X-Request-Id") == ["scan-42"]
    assert all(len(one) > 8 for one in refused)
    assert refused[0] != refused[1]


@pytest.mark.parametrize(
    ("method", "path", "status", "answered"),
    [
        ("GET", "/api/v1/events/", 404, {"detail": "Not Found"}),
        ("GET", "/nowhere", 404, {"detail": "Not Found"}),
        ("GET", BATCH, 405, {"detail": "Method Not Allowed"}),
        # The service's inner rooms.
        ("GET", "/scan/metrics", 404, {"detail": "Not Found"}),
        ("GET", "/scan/ready", 404, {"detail": "Not Found"}),
        # Out of the door.
        ("GET", "/scan/%2e%2e/metrics", 400, None),
        ("GET", "/scan/..%2fmetrics", 400, None),
        ("GET", "/scan/api/v1/logs/%252e%252e/x", 400, None),
        # A slash too much leads to the right address.
        ("GET", f"/scan{STATE}/?date=2025-10-31", 307, f"/scan{STATE}?date=2025-10-31"),
        ("POST", f"{BATCH}/", 307, BATCH),
        ("POST", f"//api/v1{BATCH}/", 307, BATCH),
        ("POST", "/scales/auth/login/", 307, "http://gateway/scales/auth/login"),
    ],
)
async def test_an_address_that_is_none_reads_as_it_always_did_and_never_reaches_the_service(
    gateway: AsyncClient, service: Service, method: str, path: str, status: int, answered: object
) -> None:
    url = f"http://gateway{path}"
    answer = await gateway.request(method, url, headers=SCANNER, content=b'{"events":[]}')

    assert answer.status_code == status
    if answered is not None:
        assert answered == (answer.headers["location"] if status == 307 else answer.json())
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)
    assert readable(answer)
    assert service.asked == []


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_body_that_is_no_json_is_said_so_before_anybody_asks_for_the_key(
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
    assert service.asked == []
