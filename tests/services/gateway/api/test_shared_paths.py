"""Paths that the crm and the kiosks share: each client is answered as its own (architecture §4)."""

import pytest

from services.gateway.domain.realm import SUPERADMIN, Realm
from tests.services.gateway.api.inside import House, Member, bearer

USERS, REFRESH, LOGOUT = "/api/v1/users", "/api/v1/auth/refresh", "/api/v1/auth/logout"


@pytest.fixture
async def admin(house: House) -> Member:
    """Of the crm."""
    return await house.member(Realm.CRM, "ADMIN")


@pytest.fixture
async def boss(house: House) -> Member:
    """Of the kiosks."""
    return await house.member(Realm.KIOSK, SUPERADMIN)


async def test_a_token_in_the_body_is_the_crms_one_in_a_cookie_the_kiosks(house: House) -> None:
    engineer = await house.account(Realm.CRM, "ENGINEER")
    staff = await house.account(Realm.KIOSK, "staff")
    pair = (await house.token(str(engineer.person.email))).json()
    await house.login(str(staff.person.username))

    by_body = await house.client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
    by_cookie = await house.client.post(REFRESH)
    by_cookie_and_nothing = await house.client.post(REFRESH, json={})

    assert by_body.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert "set-cookie" not in by_body.headers
    for answer in (by_cookie, by_cookie_and_nothing):
        assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}


async def test_without_a_token_each_is_told_so_in_its_own_way(house: House) -> None:
    post = house.client.post

    assert (await post(REFRESH, json={})).status_code == 422
    assert (await post(f"/crm{REFRESH}")).status_code == 422
    assert (await post(REFRESH)).json()["code"] == "INVALID_TOKEN"
    assert (await post(f"/kiosk{REFRESH}", json={})).json()["code"] == "INVALID_TOKEN"
    # Whoever shows nothing is out at the crm, and nobody at the kiosks.
    for path, status in ((LOGOUT, 200), (f"/crm{LOGOUT}", 200), (f"/kiosk{LOGOUT}", 401)):
        assert (await post(path)).status_code == status
    assert (await post(LOGOUT, headers=bearer("nonsense"))).status_code == 401


async def test_the_realm_of_the_token_says_whose_users_are_meant_and_only_at_its_own_doors(
    admin: Member, boss: Member
) -> None:
    crm, kiosk = (await admin.get(USERS)).json(), (await boss.get(USERS)).json()
    assert [user["id"] for user in crm] == [str(admin.profile.account_id)]
    assert [user["user_id"] for user in kiosk] == [boss.profile.number]

    theirs, ours = f"{USERS}/{admin.profile.account_id}", f"{USERS}/{boss.profile.number}"
    for who, method, path, status in (
        (admin, "GET", f"/crm{USERS}", 200),
        (boss, "GET", f"/kiosk{USERS}", 200),
        (boss, "GET", f"/crm{USERS}", 401),
        (admin, "GET", f"/kiosk{USERS}", 401),
        (admin, "GET", f"/kiosk{USERS}/me", 401),
        # What one of them has the other has not.
        (admin, "DELETE", theirs, 405),
        (admin, "PUT", theirs, 405),
        (boss, "PATCH", ours, 405),
        (boss, "POST", USERS, 405),
    ):
        answer = await who.ask(method, path, {})
        assert answer.status_code == status, (method, path)
        assert status != 405 or answer.text == '{"detail":"Method Not Allowed"}'


@pytest.mark.parametrize(("realm", "role"), [(Realm.SHOP, "admin"), (Realm.SCALES, "user")])
async def test_who_is_of_neither_is_nobody_at_both(house: House, realm: Realm, role: str) -> None:
    other = await house.member(realm, role)

    for method, path in (("GET", USERS), ("POST", USERS), ("GET", f"{USERS}/me")):
        assert (await other.ask(method, path, {})).status_code == 401


async def test_a_forged_realm_chooses_a_door_and_opens_none(house: House, admin: Member) -> None:
    head, _, signature = admin.headers["Authorization"].removeprefix("Bearer ").split(".")
    forged = f"{head}.eyJraW5kIjoia2lvc2sifQ.{signature}"

    for path in (f"{USERS}/", "/api/v1/auth/me"):
        answer = await house.client.get(path, headers=bearer(forged))
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
