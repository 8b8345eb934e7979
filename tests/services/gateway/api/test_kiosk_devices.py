"""Kiosks logging in by themselves, as the pages on them do (spec kiosk §3.4)."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import DEVICE, Realm
from tests.services.gateway.api.people import PASSWORD, a_client, a_gateway, entered, opened
from tests.services.gateway.told import catch_up

PREFIXES = pytest.mark.parametrize("prefix", ["/api/v1/kiosk", "/api/v1/api/kiosk"])


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with a_gateway(url) as made:
        yield made


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with a_client(deps) as made:
        yield made


async def body_of(deps: Deps, role: str = DEVICE) -> dict[str, str]:
    who = await opened(deps, Realm.KIOSK, role)
    return {"username": str(who.person.username), "password": PASSWORD, "device_id": "hall-1"}


@PREFIXES
async def test_a_kiosk_gets_tokens_of_its_own(deps: Deps, client: AsyncClient, prefix: str) -> None:
    body = await body_of(deps)

    answer = await client.post(f"{prefix}/login", json=body)

    assert answer.status_code == 200
    told = answer.json()
    assert told.keys() == {
        *("access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in"),
        "user",
    }
    assert (told["token_type"], told["refresh_expires_in"]) == ("bearer", 90 * 24 * 3600)
    # It refreshes every 45 minutes.
    assert told["expires_in"] > 45 * 60
    assert isinstance(told["user"].pop("user_id"), int)
    assert told["user"] == {
        "username": body["username"],
        "role_name": "kiosk",
        "is_active": True,
        "device_id": "hall-1",
    }
    assert "set-cookie" not in answer.headers


async def test_staff_do_not_log_in_as_kiosks(deps: Deps, client: AsyncClient) -> None:
    answers = [
        await client.post("/api/v1/kiosk/login", json=await body_of(deps, "superadmin")),
        await client.post("/api/v1/kiosk/login", json=await body_of(deps) | {"password": "wrong"}),
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert {answer.json()["code"] for answer in answers} == {"INVALID_CREDENTIALS"}


async def test_a_kiosk_that_missed_the_answer_asks_again_and_a_thief_ends_it(
    deps: Deps, client: AsyncClient
) -> None:
    first = (await client.post("/api/v1/kiosk/login", json=await body_of(deps))).json()

    async def refreshed(token: str) -> tuple[int, str]:
        answer = await client.post("/api/v1/kiosk/refresh", json={"refresh_token": token})
        told = answer.json()
        return answer.status_code, told.get("refresh_token") or told["code"]

    _, second = await refreshed(first["refresh_token"])
    again = await refreshed(first["refresh_token"])
    _, third = await refreshed(second)
    stolen = await refreshed(first["refresh_token"])

    assert again == (200, second)
    assert stolen == (401, "TOKEN_REVOKED")
    assert await refreshed(third) == (401, "TOKEN_REVOKED")


async def test_neither_kind_of_refresh_token_passes_for_the_other(
    deps: Deps, client: AsyncClient
) -> None:
    kiosk = (await client.post("/api/v1/kiosk/login", json=await body_of(deps))).json()
    staff = await client.post("/api/v1/auth/login", json=await body_of(deps, "staff"))
    cookie = staff.cookies["refresh_token"]
    client.cookies.clear()

    as_kiosk = await client.post("/api/v1/kiosk/refresh", json={"refresh_token": cookie})
    as_staff = await client.post(
        "/api/v1/auth/refresh", headers={"Cookie": f"refresh_token={kiosk['refresh_token']}"}
    )
    as_access = await client.post(
        "/api/v1/kiosk/refresh", json={"refresh_token": kiosk["access_token"]}
    )

    assert [a.status_code for a in (as_kiosk, as_staff, as_access)] == [401, 401, 401]
    # Nobody is out for that.
    good = await client.post(
        "/api/v1/kiosk/refresh", json={"refresh_token": kiosk["refresh_token"]}
    )
    assert good.status_code == 200
    assert good.json()["user"]["device_id"] == "hall-1"


@PREFIXES
async def test_a_kiosk_hears_what_it_is(deps: Deps, client: AsyncClient, prefix: str) -> None:
    body = await body_of(deps)
    told = (await client.post(f"{prefix}/login", json=body)).json()
    says = {"Authorization": f"Bearer {told['access_token']}"}
    await catch_up(deps.identity)

    async def asked(path: str) -> dict[str, object]:
        answer = await client.get(f"{prefix}{path}", headers=says)
        assert answer.status_code == 200
        heard: dict[str, object] = answer.json()
        return heard

    valid = await asked("/session/validate")
    assert str(valid.pop("expires_at")).endswith("Z")
    assert valid == {
        "valid": True,
        "kiosk_username": body["username"],
        "user_id": told["user"]["user_id"],
        "device_id": "hall-1",
    }
    assert (await asked("/context/payment")).keys() == {"success", "kiosk_context", "message"}
    status = await asked("/status")
    assert (status["status"], status["token_type"]) == ("authenticated", "stateless_jwt")
    assert status["last_login_at"] is not None
    assert (await asked("/analytics/basic"))["success"] is True
    deny = await client.post(f"{prefix}/token/prepare-deny-list", headers=says)
    assert deny.json()["deny_list_preparation"]["jti"]
    assert (await client.get(f"{prefix}/health")).json()["service"] == "kiosk_authentication"


async def test_a_kiosk_that_logs_out_is_out(deps: Deps, client: AsyncClient) -> None:
    body = await body_of(deps)
    told = (await client.post("/api/v1/kiosk/login", json=body)).json()
    says = {"Authorization": f"Bearer {told['access_token']}"}

    out = await client.post("/api/v1/kiosk/logout", headers=says)
    after = await client.get("/api/v1/kiosk/status", headers=says)
    refresh = await client.post(
        "/api/v1/kiosk/refresh", json={"refresh_token": told["refresh_token"]}
    )

    assert out.json()["kiosk_username"] == body["username"]
    assert (after.status_code, refresh.status_code) == (401, 401)


async def test_staff_are_no_kiosks_and_kiosks_are_no_staff(deps: Deps, client: AsyncClient) -> None:
    staff = await entered(deps, Realm.KIOSK, "superadmin")
    kiosk = await entered(deps, Realm.KIOSK, DEVICE)

    assert (await client.get("/api/v1/kiosk/status", headers=staff.says)).status_code == 401
    assert (await client.get("/api/v1/users/", headers=kiosk.says)).status_code == 401
    assert (await client.post("/api/v1/auth/logout", headers=kiosk.says)).status_code == 401
