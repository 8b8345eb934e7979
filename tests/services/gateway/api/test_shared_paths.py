"""Paths that the crm and the kiosks share: each client is answered as its own (architecture §4)."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from libs.http.undeclared import undeclared_routes
from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.gateway.domain.realm import SUPERADMIN, Realm
from tests.services.gateway.api.people import (
    PASSWORD,
    a_client,
    a_gateway,
    entered,
    opened,
)

USERS, REFRESH, LOGOUT = "/api/v1/users", "/api/v1/auth/refresh", "/api/v1/auth/logout"


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with a_gateway(url) as made:
        yield made


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with a_client(deps) as made:
        yield made


async def at_crm(deps: Deps, client: AsyncClient) -> dict[str, str]:
    who = await opened(deps, Realm.CRM, "ENGINEER")
    form = {"username": str(who.person.email), "password": PASSWORD}
    pair: dict[str, str] = (await client.post("/api/v1/auth/token", data=form)).json()
    return pair


async def at_kiosk(deps: Deps, client: AsyncClient) -> str:
    """The access token; the client keeps the cookie."""
    who = await opened(deps, Realm.KIOSK, "staff")
    body = {"username": who.person.username, "password": PASSWORD}
    answer = await client.post("/api/v1/auth/login", json=body)
    return str(answer.json()["access_token"])


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_in_the_body_is_the_crms_and_one_in_the_cookie_the_kiosks(
    deps: Deps, client: AsyncClient
) -> None:
    pair = await at_crm(deps, client)
    await at_kiosk(deps, client)

    by_body = await client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
    by_cookie = await client.post(REFRESH)
    by_cookie_and_nothing = await client.post(REFRESH, json={})

    assert by_body.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert "set-cookie" not in by_body.headers
    for answer in (by_cookie, by_cookie_and_nothing):
        assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}


async def test_a_kiosks_cookie_in_the_body_refreshes_nothing(
    deps: Deps, client: AsyncClient
) -> None:
    await at_kiosk(deps, client)
    token = client.cookies["refresh_token"]
    client.cookies.clear()

    answer = await client.post(REFRESH, json={"refresh_token": token})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


async def test_without_a_token_each_is_told_so_in_its_own_way(client: AsyncClient) -> None:
    assert (await client.post(REFRESH, json={})).status_code == 422
    assert (await client.post(f"/crm{REFRESH}")).status_code == 422
    assert (await client.post(REFRESH)).json()["code"] == "INVALID_TOKEN"
    assert (await client.post(f"/kiosk{REFRESH}", json={})).json()["code"] == "INVALID_TOKEN"


async def test_a_logout_ends_the_session_of_whoever_asks(deps: Deps, client: AsyncClient) -> None:
    pair, staff = await at_crm(deps, client), await at_kiosk(deps, client)

    crm = await client.post(LOGOUT, headers=bearing(pair["access_token"]))
    kiosk = await client.post(LOGOUT, headers=bearing(staff))
    again = [
        await client.post(LOGOUT, headers=bearing(token)) for token in (pair["access_token"], staff)
    ]

    assert (crm.status_code, kiosk.status_code) == (200, 200)
    # The crm's clients always hear the same.
    assert [answer.status_code for answer in again] == [200, 401]
    body = {"refresh_token": pair["refresh_token"]}
    assert (await client.post(REFRESH, json=body)).status_code == 401
    me = await client.get(f"{USERS}/me", headers=bearing(pair["access_token"]))
    assert me.status_code == 401


async def test_whoever_shows_nothing_is_out_at_the_crm_and_nobody_at_the_kiosks(
    client: AsyncClient,
) -> None:
    assert (await client.post(LOGOUT)).status_code == 200
    assert (await client.post(f"/crm{LOGOUT}")).status_code == 200
    assert (await client.post(f"/kiosk{LOGOUT}")).status_code == 401
    assert (await client.post(LOGOUT, headers=bearing("nonsense"))).status_code == 401


async def test_the_realm_of_the_token_says_whose_users_are_meant(
    deps: Deps, client: AsyncClient
) -> None:
    admin = await entered(deps, Realm.CRM, "ADMIN")
    boss = await entered(deps, Realm.KIOSK, SUPERADMIN)

    crm = (await client.get(USERS, headers=admin.says)).json()
    kiosk = (await client.get(USERS, headers=boss.says)).json()

    assert [user["id"] for user in crm] == [str(admin.profile.account_id)]
    assert [user["user_id"] for user in kiosk] == [boss.profile.number]


async def test_at_a_doors_own_prefix_only_its_own_people_are_somebody(
    deps: Deps, client: AsyncClient
) -> None:
    admin = await entered(deps, Realm.CRM, "ADMIN")
    boss = await entered(deps, Realm.KIOSK, SUPERADMIN)

    async def status(path: str, says: dict[str, str]) -> int:
        return (await client.get(path, headers=says)).status_code

    assert await status(f"/crm{USERS}", admin.says) == 200
    assert await status(f"/kiosk{USERS}", boss.says) == 200
    assert await status(f"/crm{USERS}", boss.says) == 401
    assert await status(f"/kiosk{USERS}", admin.says) == 401
    assert await status(f"/kiosk{USERS}/me", admin.says) == 401


async def test_what_one_of_them_has_the_other_has_not(deps: Deps, client: AsyncClient) -> None:
    admin = await entered(deps, Realm.CRM, "ADMIN")
    boss = await entered(deps, Realm.KIOSK, SUPERADMIN)
    theirs, ours = f"{USERS}/{admin.profile.account_id}", f"{USERS}/{boss.profile.number}"

    answers = [
        await client.delete(theirs, headers=admin.says),
        await client.put(theirs, json={}, headers=admin.says),
        await client.patch(ours, json={}, headers=boss.says),
        await client.post(USERS, json={}, headers=boss.says),
    ]

    assert {(a.status_code, a.text) for a in answers} == {(405, '{"detail":"Method Not Allowed"}')}


@pytest.mark.parametrize("realm", [Realm.SHOP, Realm.SCALES])
async def test_who_is_of_neither_is_nobody_at_both(
    deps: Deps, client: AsyncClient, realm: Realm
) -> None:
    other = await entered(deps, realm, "admin" if realm is Realm.SHOP else "user")

    for method, path in (("GET", USERS), ("POST", USERS), ("GET", f"{USERS}/me")):
        answer = await client.request(method, path, json={}, headers=other.says)
        assert answer.status_code == 401


async def test_a_forged_realm_chooses_a_door_and_opens_none(
    deps: Deps, client: AsyncClient
) -> None:
    admin = await entered(deps, Realm.CRM, "ADMIN")
    head, _, signature = admin.bearer.split(".")
    forged = f"{head}.eyJraW5kIjoia2lvc2sifQ.{signature}"

    for path in (f"{USERS}/", "/api/v1/auth/me"):
        answer = await client.get(path, headers=bearing(forged))
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")


async def test_no_body_is_longer_than_a_login_takes(client: AsyncClient) -> None:
    long = "x" * 100_000

    answers = [
        await client.post("/api/v1/auth/token", data={"username": long, "password": long}),
        await client.post("/api/v1/auth/login", json={"username": long, "password": long}),
        await client.post(REFRESH, json={"refresh_token": long}),
        await client.post(LOGOUT, json={"refresh_token": long}),
        await client.post(USERS, json={"email": long}),
    ]

    assert {answer.status_code for answer in answers} == {413}


async def test_every_route_says_who_may_use_it(deps: Deps) -> None:
    assert undeclared_routes(bootstrap.create_app(deps)) == []
