"""Users of the crm, as its site and its scripts see and change them (spec crm §2, §3.2, §4).

What holds for the kiosks' users too is in `test_realm_users`.
"""

from typing import Any, Final
from uuid import uuid4

import pytest

from services.gateway.domain.realm import Realm
from tests.services.gateway.api.inside import (
    NEW_PASSWORD,
    PASSWORD,
    House,
    Member,
    bearer,
    crm_error,
    crm_user,
    some_email,
)

USERS: Final = "/api/v1/users"
SHOWN: Final = {
    *("id", "email", "full_name", "phone", "role", "city_id", "district_id", "city", "district"),
    *("is_active", "last_login_at", "created_at", "updated_at"),
}


@pytest.fixture
async def boss(house: House) -> Member:
    """The only administrator."""
    return await house.member(Realm.CRM, "ADMIN")


@pytest.mark.parametrize("path", [USERS, f"{USERS}/"])
async def test_administrators_make_users_who_log_in(house: House, boss: Member, path: str) -> None:
    body = crm_user(phone="8 (800) 555", city_id=str(uuid4()))

    made = await boss.post(path, body)

    assert made.status_code == 201
    user = made.json()
    assert user.keys() == SHOWN
    for name in ("email", "full_name", "phone", "role", "city_id"):
        assert user[name] == body[name]
    assert (user["district_id"], user["is_active"], user["last_login_at"]) == (None, True, None)
    assert user["created_at"].endswith("Z")
    assert PASSWORD not in made.text
    assert (await house.token(body["email"].upper())).status_code == 200


async def test_all_see_themselves_and_those_who_may_a_list(house: House, boss: Member) -> None:
    supervisor = await house.member(Realm.CRM, "SUPERVISOR")
    engineer = await house.member(Realm.CRM, "ENGINEER")

    lists = [
        (await who.get(path)).json() for path in (USERS, f"{USERS}/") for who in (boss, supervisor)
    ]
    refused = await engineer.get(USERS)

    everybody = [str(who.profile.account_id) for who in (boss, supervisor, engineer)]
    assert [[user["id"] for user in listed] for listed in lists] == [everybody] * 4
    assert lists[0][0].keys() == SHOWN
    assert crm_error(refused) == (403, "FORBIDDEN")
    assert refused.json()["error"]["message"] == "Required roles: ADMIN, SUPERVISOR"
    me = (await engineer.get(f"{USERS}/me")).json()
    assert me.keys() == SHOWN | {"scopes"}
    assert me["id"] == everybody[2]
    assert me["last_login_at"] is not None
    assert me["scopes"] == [
        *("customers:read", "customers:write", "objects:read", "visits:read", "visits:write"),
    ]


async def test_supervisors_are_found_by_part_of_name_or_address(house: House, boss: Member) -> None:
    bodies = [
        crm_user(role="SUPERVISOR", full_name="Анна Берг", is_active=False),
        crm_user(role="SUPERVISOR", full_name="Пётр Кузнецов"),
        crm_user(full_name="Анна Инженер"),
    ]
    ids = [(await boss.post(USERS, body)).json()["id"] for body in bodies]
    await house.catch_up()

    part = bodies[1]["email"][2:14].upper()
    for sought, found in (("", ids[:2]), ("АННА", ids[:1]), (part, ids[1:2]), ("%", [])):
        answer = await boss.get(f"{USERS}/supervisors", params={"q": sought})
        assert [user["id"] for user in answer.json()] == found, sought


async def test_what_is_given_changes_the_rest_stays(house: House, boss: Member) -> None:
    body = crm_user(phone="8 800", district_id=str(uuid4()))
    made = (await boss.post(USERS, body)).json()
    path, email = f"{USERS}/{made['id']}", some_email()

    async def patch(**change: Any) -> Any:
        answer = await boss.patch(path, change)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def login(address: str, password: str) -> int:
        return (await house.token(address, password)).status_code

    assert await patch() == await patch(unknown=1) == made
    user = await patch(full_name="Пётр К.", phone=None, role="SUPERVISOR")
    assert (user["full_name"], user["phone"], user["role"]) == ("Пётр К.", None, "SUPERVISOR")
    assert user["district_id"] == body["district_id"]
    await patch(email=email, password=NEW_PASSWORD)
    assert [await login(one, PASSWORD) for one in (body["email"], email)] == [401, 401]
    assert await login(email, NEW_PASSWORD) == 200
    assert (await patch(is_active=False))["is_active"] is False
    assert await login(email, NEW_PASSWORD) == 401
    assert (await boss.get(path)).json()["is_active"] is False


@pytest.mark.parametrize("headers", [{}, bearer("a.b.c")], ids=("nothing", "nonsense"))
async def test_whoever_is_nobody_is_led_to_the_login(house: House, headers: dict[str, str]) -> None:
    for path in (USERS, f"{USERS}/me", f"{USERS}/supervisors", f"{USERS}/{uuid4()}"):
        for door in ("", "/crm"):
            answer = await house.client.get(f"{door}{path}", headers=headers)
            # The site goes to the login if there is no `detail`, or one that says so.
            assert answer.status_code == 401
            assert "unauthorized" in str(answer.json().get("detail", "unauthorized")).lower()
            assert answer.headers["www-authenticate"] == "Bearer"
