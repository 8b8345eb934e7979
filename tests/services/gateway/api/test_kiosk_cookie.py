"""The cookie that keeps the kiosks' staff in, and who may use it (spec kiosk §2.1)."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient, Response

from services.gateway.deps import Deps
from services.gateway.domain.realm import Realm
from tests.services.gateway.api.people import (
    PASSWORD,
    a_client,
    a_gateway,
    opened,
)
from tests.services.gateway.conftest import PAGE
from tests.services.gateway.told import told

LOGIN, REFRESH = "/api/v1/auth/login", "/api/v1/auth/refresh"
SETUP = "/api/v1/setup/superadmin"


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with a_gateway(url) as made:
        yield made


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with a_client(deps) as made:
        yield made


async def logged_in(deps: Deps, client: AsyncClient, role: str = "staff") -> Response:
    who = await opened(deps, Realm.KIOSK, role)
    body = {"username": who.person.username, "password": PASSWORD}
    answer = await client.post(LOGIN, json=body)
    assert answer.status_code == 200, answer.text
    return answer


async def refreshed(client: AsyncClient, token: str, **headers: str) -> Response:
    client.cookies.clear()
    return await client.post(REFRESH, headers={"Cookie": f"refresh_token={token}", **headers})


def code_of(answer: Response) -> tuple[int, str]:
    told = answer.json()
    assert told.keys() == {"detail", "code", "request_id"}
    assert told["request_id"] == answer.headers["X-Request-Id"]
    return answer.status_code, told["code"]


async def test_outside_of_the_demo_the_cookie_is_for_https_only(url: str) -> None:
    async with a_gateway(url, profile="local") as deps, a_client(deps) as client:
        assert "; secure" in (await logged_in(deps, client)).headers["set-cookie"].lower()


async def test_at_the_doors_own_prefix_the_cookie_is_for_that(
    deps: Deps, client: AsyncClient
) -> None:
    who = await opened(deps, Realm.KIOSK, "staff")
    body = {"username": who.person.username, "password": PASSWORD}

    answer = await client.post(f"/kiosk{LOGIN}", json=body)
    again = await client.post(f"/kiosk{REFRESH}")

    assert "path=/kiosk/api/v1/auth/refresh;" in answer.headers["set-cookie"].lower()
    assert again.status_code == 200


async def test_the_cookie_is_exchanged_for_the_next_and_a_lost_answer_does_no_harm(
    deps: Deps, client: AsyncClient
) -> None:
    old = (await logged_in(deps, client)).cookies["refresh_token"]

    second = await refreshed(client, old)
    again = await refreshed(client, old)

    assert (second.status_code, again.status_code) == (200, 200)
    assert second.json().keys() == {"access_token", "token_type", "expires_in", "user"}
    assert second.cookies["refresh_token"] != old
    assert again.cookies["refresh_token"] == second.cookies["refresh_token"]
    assert (await refreshed(client, again.cookies["refresh_token"])).status_code == 200


async def test_a_cookie_that_was_used_long_ago_ends_the_session_for_everybody(
    deps: Deps, client: AsyncClient
) -> None:
    answer = await logged_in(deps, client)
    stolen = current = answer.cookies["refresh_token"]
    for _ in range(2):
        current = (await refreshed(client, current)).cookies["refresh_token"]

    reused = await refreshed(client, stolen)
    after = await refreshed(client, current)

    assert (code_of(reused), code_of(after)) == ((401, "TOKEN_REVOKED"), (401, "TOKEN_REVOKED"))
    assert "max-age=0" in reused.headers["set-cookie"].lower()
    says = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get("/api/v1/auth/me", headers=says)).status_code == 401


async def test_without_a_cookie_there_is_nothing_to_refresh(client: AsyncClient) -> None:
    assert code_of(await client.post(REFRESH)) == (401, "INVALID_TOKEN")
    assert code_of(await refreshed(client, "nonsense")) == (401, "TOKEN_REVOKED")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://gateway"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.gateway"},
    ],
)
async def test_another_page_cannot_refresh_in_its_visitors_name(
    deps: Deps, client: AsyncClient, headers: dict[str, str]
) -> None:
    token = (await logged_in(deps, client)).cookies["refresh_token"]

    refused = await refreshed(client, token, **headers)

    assert code_of(refused) == (403, "FORBIDDEN")
    assert "set-cookie" not in refused.headers
    events = [type(e.event).__name__ for e in await told(deps.identity)]
    assert events[-1] == "SessionOpened"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://gateway"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://behind.a.proxy.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_our_own_pages_can(deps: Deps, client: AsyncClient, headers: dict[str, str]) -> None:
    token = (await logged_in(deps, client)).cookies["refresh_token"]

    assert (await refreshed(client, token, **headers)).status_code == 200


async def test_allowing_every_page_to_read_allows_none_to_refresh(url: str) -> None:
    async with a_gateway(url, cors_origins=("*",)) as deps, a_client(deps) as client:
        token = (await logged_in(deps, client)).cookies["refresh_token"]

        refused = await refreshed(client, token, Origin="https://evil.example")

        assert code_of(refused) == (403, "FORBIDDEN")


async def test_staff_who_log_out_are_out(deps: Deps, client: AsyncClient) -> None:
    answer = await logged_in(deps, client)
    says = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    out = await client.post("/api/v1/auth/logout", headers=says)
    again = await client.post("/api/v1/auth/logout", headers=says)
    token = answer.cookies["refresh_token"]

    assert (out.status_code, out.json().keys()) == (200, {"message"})
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert again.status_code == 401
    assert (await refreshed(client, token)).status_code == 401
    assert (await client.get("/api/v1/auth/me", headers=says)).status_code == 401
