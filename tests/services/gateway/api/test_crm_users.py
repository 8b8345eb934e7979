"""Users of the crm, as its site and its scripts see and change them (spec crm §2, §3.2, §4)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import Realm
from tests.services.gateway.api.crm import SHOWN, USERS, error_of, new
from tests.services.gateway.api.people import (
    PASSWORD,
    Entered,
    a_client,
    a_gateway,
    entered,
    projecting,
    some_email,
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
    """The only administrator."""
    return await entered(deps, Realm.CRM, "ADMIN")


async def login(client: AsyncClient, email: str, password: str = PASSWORD) -> int:
    form = {"username": email, "password": password}
    return (await client.post("/api/v1/auth/token", data=form)).status_code


@pytest.mark.parametrize("path", [USERS, f"{USERS}/"])
async def test_an_administrator_makes_users_who_can_log_in(
    client: AsyncClient, boss: Entered, path: str
) -> None:
    body = new(phone="8 (800) 555", city_id=str(uuid4()))

    made = await client.post(path, json=body, headers=boss.says)

    assert made.status_code == 201
    told = made.json()
    assert told.keys() == SHOWN
    shared = ("email", "full_name", "phone", "role", "city_id")
    assert {name: told[name] for name in shared} == {name: body[name] for name in shared}
    assert (told["district_id"], told["is_active"], told["last_login_at"]) == (None, True, None)
    assert told["created_at"].endswith("Z")
    assert PASSWORD not in made.text
    assert await login(client, body["email"].upper()) == 200


async def test_everybody_sees_who_they_are_and_what_they_may(
    deps: Deps, client: AsyncClient
) -> None:
    engineer = await entered(deps, Realm.CRM, "ENGINEER")

    me = await client.get(f"{USERS}/me", headers=engineer.says)

    assert me.status_code == 200
    assert me.json().keys() == SHOWN | {"scopes"}
    assert me.json()["id"] == str(engineer.profile.account_id)
    assert me.json()["last_login_at"] is not None
    assert me.json()["scopes"] == [
        *("customers:read", "customers:write", "objects:read", "visits:read", "visits:write"),
    ]


async def test_the_list_is_a_bare_array_for_those_who_may(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    supervisor = await entered(deps, Realm.CRM, "SUPERVISOR")
    engineer = await entered(deps, Realm.CRM, "ENGINEER")

    lists = [
        await client.get(path, headers=who.says)
        for path in (USERS, f"{USERS}/")
        for who in (boss, supervisor)
    ]
    refused = await client.get(USERS, headers=engineer.says)

    everybody = [str(who.profile.account_id) for who in (boss, supervisor, engineer)]
    assert [[user["id"] for user in answer.json()] for answer in lists] == [everybody] * 4
    assert lists[0].json()[0].keys() == SHOWN
    assert error_of(refused) == (403, "FORBIDDEN")
    assert refused.json()["error"]["message"] == "Required roles: ADMIN, SUPERVISOR"


async def test_supervisors_are_found_by_part_of_a_name_or_address(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    bodies = [
        new(role="SUPERVISOR", full_name="Анна Берг", is_active=False),
        new(role="SUPERVISOR", full_name="Пётр Кузнецов"),
        new(full_name="Анна Инженер"),
    ]
    made = [await client.post(USERS, json=body, headers=boss.says) for body in bodies]
    await catch_up(deps.identity)

    async def found(q: str) -> list[str]:
        answer = await client.get(f"{USERS}/supervisors", params={"q": q}, headers=boss.says)
        return [user["id"] for user in answer.json()]

    ids = [answer.json()["id"] for answer in made]
    assert await found("") == ids[:2]
    assert await found("АННА") == ids[:1]
    assert await found(bodies[1]["email"][2:14].upper()) == ids[1:2]
    assert await found("%") == []


async def test_what_is_given_changes_the_rest_stays(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    body = new(phone="8 800", district_id=str(uuid4()))
    made = (await client.post(USERS, json=body, headers=boss.says)).json()
    path = f"{USERS}/{made['id']}"

    async def patch(**change: Any) -> dict[str, Any]:
        answer = await client.patch(path, json=change, headers=boss.says)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    assert await patch() == made
    assert await patch(unknown=1) == made
    told = await patch(full_name="Пётр К.", phone=None, role="SUPERVISOR")
    assert (told["full_name"], told["phone"], told["role"]) == ("Пётр К.", None, "SUPERVISOR")
    assert told["district_id"] == body["district_id"]
    email = some_email()
    await patch(email=email, password="battery staple")
    assert [await login(client, body["email"]), await login(client, email)] == [401, 401]
    assert await login(client, email, "battery staple") == 200
    assert (await patch(is_active=False))["is_active"] is False
    assert await login(client, email, "battery staple") == 401
    assert (await client.get(path, headers=boss.says)).json()["is_active"] is False


async def test_whoever_is_deactivated_or_given_another_role_is_out_at_once(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    for change in ({"is_active": False}, {"role": "SUPERVISOR"}):
        engineer = await entered(deps, Realm.CRM, "ENGINEER")
        path = f"{USERS}/{engineer.profile.account_id}"
        assert (await client.patch(path, json=change, headers=boss.says)).status_code == 200

        answer = await client.get(f"{USERS}/me", headers=engineer.says)

        assert error_of(answer) == (401, "UNAUTHORIZED")


async def test_whoever_made_a_user_finds_them_in_the_list(url: str) -> None:
    async with a_gateway(url, stale_wait_seconds=20) as deps, a_client(deps) as client:
        boss = await entered(deps, Realm.CRM, "ADMIN")
        async with projecting(deps):
            made = (await client.post(USERS, json=new(), headers=boss.says)).json()
            listed = await client.get(USERS, headers=boss.says)
            path = f"{USERS}/{made['id']}"
            await client.patch(path, json={"is_active": False}, headers=boss.says)
            after = await client.get(USERS, headers=boss.says)

    assert made in listed.json()
    assert made["id"] in {user["id"] for user in after.json() if not user["is_active"]}


async def test_a_password_is_changed_by_who_knows_it(deps: Deps, client: AsyncClient) -> None:
    engineer = await entered(deps, Realm.CRM, "ENGINEER")
    email = str(engineer.profile.person.email)
    body = {"current_password": PASSWORD, "new_password": "battery staple"}
    path = f"{USERS}/me/password"

    wrong = await client.post(
        path, json=body | {"current_password": "another"}, headers=engineer.says
    )
    right = await client.post(path, json=body, headers=engineer.says)
    stale = await client.get(f"{USERS}/me", headers=engineer.says)

    assert error_of(wrong) == (422, "VALIDATION_ERROR")
    assert right.status_code == 200
    assert stale.status_code == 401
    assert [await login(client, email), await login(client, email, "battery staple")] == [401, 200]
