"""Users of the kiosks, as their superadmins' clients see and change them (spec kiosk §3.2)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import SUPERADMIN, Realm
from tests.services.gateway.api.kiosks import SHOWN, USERS, code_of, new
from tests.services.gateway.api.people import (
    PASSWORD,
    Entered,
    a_client,
    a_gateway,
    entered,
    projecting,
    some_email,
    some_name,
)
from tests.services.gateway.told import catch_up


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with a_gateway(url) as made:
        yield made


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with a_client(deps) as made:
        yield made


@pytest.fixture
async def boss(deps: Deps) -> Entered:
    """The superadmin."""
    return await entered(deps, Realm.KIOSK, SUPERADMIN)


async def test_a_superadmin_makes_administrators_and_kiosks_who_can_log_in(
    client: AsyncClient, boss: Entered
) -> None:
    admin, kiosk = new(email=some_email(), phone="8 800"), new(is_verified=True)

    made = await client.post(f"{USERS}/create-admin", json=admin, headers=boss.says)
    box = await client.post("/api/v1/api/kiosk/create", json=kiosk, headers=boss.says)
    other = await client.post("/api/v1/kiosk/create", json=new(), headers=boss.says)

    assert (made.status_code, box.status_code, other.status_code) == (200, 201, 201)
    assert made.json().keys() == box.json().keys() == SHOWN
    assert made.json()["role_name"] == "admin"
    assert (made.json()["email"], made.json()["phone"]) == (admin["email"], "8 800")
    assert made.json()["updated_at"] is None
    assert (box.json()["role_name"], box.json()["email"]) == ("kiosk", None)
    assert box.json()["is_verified"] is True
    logins = [
        await client.post("/api/v1/auth/login", json=admin),
        await client.post("/api/v1/kiosk/login", json=kiosk),
    ]
    assert [login.status_code for login in logins] == [200, 200]


async def test_user_names_and_addresses_are_one_persons_however_they_are_written(
    client: AsyncClient, boss: Entered
) -> None:
    first = new(email=some_email())
    await client.post(f"{USERS}/create-admin", json=first, headers=boss.says)

    async def again(**body: Any) -> tuple[int, str]:
        answer = await client.post(f"{USERS}/create-admin", json=new(**body), headers=boss.says)
        return code_of(answer)

    assert await again(username=first["username"].upper()) == (409, "USERNAME_TAKEN")
    assert await again(email=first["email"].upper()) == (409, "EMAIL_TAKEN")


async def test_the_list_goes_by_number_and_page_by_page(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    for _ in range(3):
        await client.post("/api/v1/kiosk/create", json=new(), headers=boss.says)
    await catch_up(deps.identity)

    whole = [await client.get(f"{USERS}{end}", headers=boss.says) for end in ("", "/")]
    part = await client.get(f"{USERS}/?skip=1&limit=2", headers=boss.says)

    assert whole[0].json() == whole[1].json()
    numbers = [user["user_id"] for user in whole[0].json()]
    assert numbers[0] == boss.profile.number
    assert numbers == sorted(numbers)
    assert len(numbers) == 4
    assert [user["user_id"] for user in part.json()] == numbers[1:3]
    assert whole[0].json()[0].keys() == SHOWN
    assert whole[0].json()[0]["last_login_at"] is not None
    assert whole[0].json()[1]["last_login_at"] is None


async def test_whoever_made_a_user_finds_them_in_the_list(url: str) -> None:
    async with a_gateway(url, stale_wait_seconds=20) as deps, a_client(deps) as client:
        boss = await entered(deps, Realm.KIOSK, SUPERADMIN)
        async with projecting(deps):
            made = await client.post("/api/v1/kiosk/create", json=new(), headers=boss.says)
            listed = await client.get(f"{USERS}/", headers=boss.says)
            number = made.json()["user_id"]
            path = f"{USERS}/{number}"
            changed = await client.put(path, json={"is_active": False}, headers=boss.says)
            after = await client.get(f"{USERS}/", headers=boss.says)
            await client.delete(path, headers=boss.says)
            gone = await client.get(f"{USERS}/", headers=boss.says)

    assert made.json() in listed.json()
    assert changed.json() in after.json()
    assert number not in {user["user_id"] for user in gone.json()}


async def test_only_what_is_given_changes_and_null_takes_away(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    body = new(email=some_email(), phone="8 800", is_verified=True)
    made = (await client.post(f"{USERS}/create-admin", json=body, headers=boss.says)).json()
    await catch_up(deps.identity)
    path = f"{USERS}/{made['user_id']}"

    async def put(**change: Any) -> dict[str, Any]:
        answer = await client.put(path, json=change, headers=boss.says)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    assert await put() == made
    told = await put(phone=None, role_name="staff")
    assert (told["phone"], told["role_name"], told["is_verified"]) == (None, "staff", True)
    assert told["updated_at"] > told["created_at"]
    name = some_name()
    told = await put(username=name, email=None, is_verified=False, is_active=False)
    assert (told["username"], told["email"]) == (name, None)
    assert (told["is_verified"], told["is_active"]) == (False, False)
    assert (await client.get(path, headers=boss.says)).json() == told
    assert (await client.post("/api/v1/auth/login", json=body)).status_code == 401


async def test_of_two_superadmins_one_may_go(deps: Deps, client: AsyncClient) -> None:
    boss = await entered(deps, Realm.KIOSK, SUPERADMIN)
    other = await entered(deps, Realm.KIOSK, SUPERADMIN)
    path = f"{USERS}/{other.profile.number}"

    gone = await client.delete(path, headers=boss.says)
    stale = await client.get(f"{USERS}/", headers=other.says)
    found = await client.get(path, headers=boss.says)

    assert (gone.status_code, gone.json().keys()) == (200, {"message"})
    assert stale.status_code == 401
    assert code_of(found) == (404, "USER_NOT_FOUND")
    assert code_of(await client.delete(path, headers=boss.says)) == (404, "USER_NOT_FOUND")


@pytest.mark.parametrize("body", [False, {"is_active": False}])
async def test_a_status_is_a_bare_boolean_or_an_object(
    deps: Deps, client: AsyncClient, boss: Entered, body: Any
) -> None:
    staff = await entered(deps, Realm.KIOSK, "staff")
    path = f"{USERS}/status/{staff.profile.person.username}"

    answer = await client.patch(path, json=body, headers=boss.says)
    again = await client.patch(path, json=body, headers=boss.says)
    back = await client.patch(path, json=True, headers=boss.says)

    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "user"}
    assert answer.json()["user"] == {
        "user_id": staff.profile.number,
        "username": staff.profile.person.username,
        "email": staff.profile.person.email,
        "role_name": "staff",
        "is_active": False,
    }
    assert code_of(again) == (400, "ALREADY_SO")
    assert back.json()["user"]["is_active"] is True
    # Whoever was out logs in again.
    assert (await client.get("/api/v1/auth/me", headers=staff.says)).status_code == 401


async def test_a_password_is_changed_by_its_owner_or_a_superadmin(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    staff = await entered(deps, Realm.KIOSK, "staff")
    body = {"current_password": PASSWORD, "new_password": "battery staple"}
    own, path = f"{USERS}/me/password", f"{USERS}/{staff.profile.number}/password"

    async def login(password: str) -> int:
        asked = {"username": staff.profile.person.username, "password": password}
        return (await client.post("/api/v1/auth/login", json=asked)).status_code

    wrong = await client.post(own, json=body | {"current_password": "x"}, headers=staff.says)
    right = await client.post(own, json=body, headers=staff.says)
    stale = await client.post(own, json=body, headers=staff.says)
    assert code_of(wrong) == (400, "WRONG_PASSWORD")
    assert (right.status_code, stale.status_code) == (200, 401)
    assert (await login(PASSWORD), await login("battery staple")) == (401, 200)

    reset = await client.post(path, json={"new_password": PASSWORD}, headers=boss.says)
    assert reset.status_code == 200
    assert (await login("battery staple"), await login(PASSWORD)) == (401, 200)
