"""Setting up and logging in at the kiosks: superadmins, staff by a cookie, and kiosks themselves.

Spec kiosk §2.1, §3.1, §3.4; refresh tokens and logouts are in `test_logins`.
"""

from typing import Any

import pytest
from httpx import Response

from contracts.gateway import SessionRefreshed, SessionRevoked
from libs.testing.clock import Clock
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, SUPERADMIN, Realm
from tests.services.gateway.app import PAGE
from tests.services.gateway.harness import (
    CHIEF,
    PASSWORD,
    Harness,
    bearer,
    client_of,
    harness_on,
    kiosk_error,
    some_email,
    some_name,
)

LOGIN, REFRESH, ME = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/me"
SETUP, STATUS = "/api/v1/setup/superadmin", "/api/v1/setup/status"
PREFIXES = pytest.mark.parametrize("prefix", ["/api/v1/kiosk", "/api/v1/api/kiosk"])
REFUSED = (401, "INVALID_CREDENTIALS")


def somebody_new(**more: Any) -> dict[str, Any]:
    return {"username": some_name(), "password": PASSWORD, **more}


async def body_of(harness: Harness, role: str) -> dict[str, str]:
    """The login of a new user."""
    who = await harness.account(Realm.KIOSK, role)
    return {"username": str(who.person.username), "password": PASSWORD}


async def logged_in(harness: Harness, role: str = "staff", prefix: str = "") -> Response:
    answer = await harness.client.post(prefix + LOGIN, json=await body_of(harness, role))
    assert answer.status_code == 200, answer.text
    return answer


async def refreshed(harness: Harness, token: str, **headers: str) -> Response:
    harness.client.cookies.clear()
    headers |= {"Cookie": f"refresh_token={token}"}
    return await harness.client.post(REFRESH, headers=headers)


async def test_the_first_set_up_succeeds_and_logs_in(harness: Harness) -> None:
    client = harness.client
    before = (await client.get(STATUS)).json()
    body = somebody_new(email=some_email(), phone="8 800 555")

    answer = await client.post(SETUP, json=body)
    after = (await client.get(STATUS)).json()
    second = await client.post(SETUP, json=somebody_new())

    assert before.keys() == {"setup_required", "has_superadmin", "message", "endpoint"}
    assert (before["setup_required"], before["has_superadmin"]) == (True, False)
    assert before["endpoint"] == SETUP
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}
    user = answer.json()["user"]
    assert isinstance(user.pop("user_id"), int)
    assert user == {
        "username": body["username"],
        "email": body["email"],
        "role_name": "superadmin",
        "is_active": True,
    }
    assert (after["setup_required"], after["endpoint"]) == (False, LOGIN)
    me = (await client.get(ME, headers=bearer(answer.json()["access_token"]))).json()
    assert (me["is_verified"], me["phone"], me["username"]) == (True, "8 800 555", body["username"])
    assert kiosk_error(second) == (409, "SETUP_DONE")
    assert "set-cookie" not in second.headers


async def test_a_superadmin_of_the_platform_closes_the_set_up(database: str) -> None:
    async with harness_on(database) as harness:
        await harness.create_account(CHIEF)

        answer = await harness.client.post(SETUP, json=somebody_new())

        assert kiosk_error(answer) == (409, "SETUP_DONE")
        assert (await harness.client.get(STATUS)).json()["has_superadmin"] is True


async def test_a_configured_setup_code_is_required(url: str) -> None:
    async with harness_on(url, setup_code="open sesame") as harness:
        none, wrong, right = [
            await harness.client.post(SETUP, json=somebody_new(), headers=headers)
            for headers in ({}, {"X-Setup-Code": "open barley"}, {"X-Setup-Code": "open sesame"})
        ]

    assert kiosk_error(none) == kiosk_error(wrong) == REFUSED
    assert right.status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"username": "ab"}, {"password": "pw-1234"}, {"password": "x" * 73}, {"email": "nobody"}],
)
async def test_an_invalid_set_up_is_refused_by_field(
    harness: Harness, wrong: dict[str, str]
) -> None:
    body = somebody_new(**wrong)

    answer = await harness.client.post(SETUP, json=body)

    assert kiosk_error(answer) == (422, "VALIDATION_ERROR")
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
    assert body["password"] not in answer.text


async def test_staff_log_in_and_get_a_cookie_that_scripts_cannot_read(harness: Harness) -> None:
    answer = await logged_in(harness, "externalKitchen")
    again = await harness.client.post(REFRESH)

    for each in (answer, again):
        assert each.json().keys() == {"access_token", "token_type", "expires_in", "user"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 1800)
    assert answer.json()["user"]["role_name"] == "externalKitchen"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("refresh_token=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "max-age=604800", f"path={REFRESH}", "samesite=lax"}
    assert answer.headers["cache-control"] == "no-store"


async def test_at_the_doors_own_prefix_the_cookie_is_for_that_and_without_it_nothing_is_refreshed(
    harness: Harness,
) -> None:
    answer = await logged_in(harness, prefix="/kiosk")

    assert f"path=/kiosk{REFRESH};" in answer.headers["set-cookie"].lower()
    assert (await harness.client.post(f"/kiosk{REFRESH}")).status_code == 200
    assert kiosk_error(await harness.client.post(REFRESH)) == (401, "INVALID_TOKEN")


async def test_the_cookie_is_for_https_and_not_for_every_page_that_may_read(url: str) -> None:
    async with harness_on(url, profile="local", cors_origins=("*",)) as harness:
        login = await logged_in(harness)
        token = login.cookies["refresh_token"]
        answer = await refreshed(harness, token, Origin="https://evil.example")

    assert "; secure" in login.headers["set-cookie"].lower()
    assert kiosk_error(answer) == (403, "FORBIDDEN")


async def test_only_staff_can_read_their_own_user(harness: Harness) -> None:
    staff = await harness.member(Realm.KIOSK, "staff")
    kiosk = await harness.member(Realm.KIOSK, KIOSK_ITSELF)
    engineer = await harness.member(Realm.CRM, "ENGINEER")

    me = (await staff.get(ME)).json()
    others = [
        await harness.client.get(ME, headers=headers)
        for headers in (kiosk.headers, engineer.headers, {}, bearer("a.b.c"))
    ]

    assert me.keys() == {
        *("user_id", "username", "email", "phone", "is_active", "is_verified", "role_name"),
        *("created_at", "updated_at", "last_login_at"),
    }
    assert me["user_id"] == staff.profile.number
    assert me["last_login_at"].endswith("Z")
    assert {kiosk_error(answer) for answer in others} == {(401, "INVALID_TOKEN")}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://gateway"}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.gateway"}, False),
        ({"Origin": "http://gateway"}, True),
        ({"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "https://behind.a.proxy.example", "Sec-Fetch-Site": "same-origin"}, True),
    ],
)
async def test_only_our_own_pages_refresh_in_their_visitors_name(
    harness: Harness, headers: dict[str, str], allowed: bool
) -> None:
    token = (await logged_in(harness)).cookies["refresh_token"]
    before = await changes(harness)

    answer = await refreshed(harness, token, **headers)

    if allowed:
        assert answer.status_code == 200
    else:
        assert kiosk_error(answer) == (403, "FORBIDDEN")
        assert "set-cookie" not in answer.headers
        assert await changes(harness) == before


async def changes(harness: Harness) -> int:
    """How often any session was refreshed or ended."""
    return sum([len(await harness.events(e)) for e in (SessionRefreshed, SessionRevoked)])


@PREFIXES
async def test_a_kiosk_gets_own_tokens_and_asks_what_it_is(harness: Harness, prefix: str) -> None:
    body = await body_of(harness, KIOSK_ITSELF)

    answer = await harness.client.post(f"{prefix}/login", json=body | {"device_id": "hall-1"})
    await harness.catch_up()

    assert answer.status_code == 200
    given = answer.json()
    assert given.keys() == {
        *("access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in"),
        "user",
    }
    assert (given["token_type"], given["refresh_expires_in"]) == ("bearer", 90 * 24 * 3600)
    # It refreshes every 45 minutes.
    assert given["expires_in"] == 30 * 24 * 3600
    number = given["user"].pop("user_id")
    assert isinstance(number, int)
    assert given["user"] == {
        "username": body["username"],
        "role_name": "kiosk",
        "is_active": True,
        "device_id": "hall-1",
    }
    assert "set-cookie" not in answer.headers
    fresh = await harness.client.post(
        f"{prefix}/refresh", json={"refresh_token": given["refresh_token"]}
    )
    assert fresh.json()["user"]["device_id"] == "hall-1"

    headers = bearer(given["access_token"])

    async def get(path: str) -> Any:
        answer = await harness.client.get(f"{prefix}{path}", headers=headers)
        assert answer.status_code == 200
        return answer.json()

    valid = await get("/session/validate")
    assert valid.pop("expires_at").endswith("Z")
    assert valid == {
        "valid": True,
        "kiosk_username": body["username"],
        "user_id": number,
        "device_id": "hall-1",
    }
    assert (await get("/context/payment")).keys() == {"success", "kiosk_context", "message"}
    status = await get("/status")
    assert (status["status"], status["token_type"]) == ("authenticated", "stateless_jwt")
    assert status["last_login_at"] is not None
    assert (await get("/analytics/basic"))["success"] is True
    deny = await harness.client.post(f"{prefix}/token/prepare-deny-list", headers=headers)
    assert deny.json()["deny_list_preparation"]["jti"]
    assert (await get("/health"))["service"] == "kiosk_authentication"
    out = await harness.client.post(f"{prefix}/logout", headers=headers)
    assert out.json()["kiosk_username"] == body["username"]


async def test_staff_are_no_kiosks_and_kiosks_are_no_staff(harness: Harness) -> None:
    wrong = await body_of(harness, KIOSK_ITSELF) | {"password": "wrong"}
    for path, body in (
        ("/api/v1/kiosk/login", await body_of(harness, SUPERADMIN)),
        ("/api/v1/kiosk/login", wrong),
        (LOGIN, await body_of(harness, KIOSK_ITSELF)),
        (LOGIN, somebody_new()),
    ):
        answer = await harness.client.post(path, json=body)
        assert kiosk_error(answer) == REFUSED
        assert "set-cookie" not in answer.headers
        if path == LOGIN:
            assert answer.json()["detail"] == "Incorrect username or password"
            assert answer.headers["www-authenticate"] == "Bearer"

    staff = await harness.member(Realm.KIOSK, SUPERADMIN)
    kiosk = await harness.member(Realm.KIOSK, KIOSK_ITSELF)
    for who, method, path in (
        (staff, "GET", "kiosk/status"),
        (kiosk, "GET", "users/"),
        (kiosk, "POST", "auth/logout"),
    ):
        assert (await who.ask(method, f"/api/v1/{path}")).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(35, 200), (59, 200), (61, 401)])
async def test_a_kiosk_may_have_lost_an_answer_a_minute_ago(
    demo: Harness, seconds: int, status: int
) -> None:
    clock = Clock()
    async with client_of(demo.at(clock)) as client:
        body = await body_of(demo, KIOSK_ITSELF)
        kiosk = (await client.post("/api/v1/kiosk/login", json=body)).json()
        refresh = {"refresh_token": kiosk["refresh_token"]}
        lost = await client.post("/api/v1/kiosk/refresh", json=refresh)
        clock.advance(seconds=seconds)
        again = await client.post("/api/v1/kiosk/refresh", json=refresh)

    assert (lost.status_code, again.status_code) == (200, status)
    assert status == 401 or again.json()["refresh_token"] == lost.json()["refresh_token"]
