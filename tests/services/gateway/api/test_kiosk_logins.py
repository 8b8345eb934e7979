"""Setting up and logging in at the kiosks, as their clients do (spec kiosk §2.1, §3.1, §3.4)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient, Response

from services.gateway.deps import Deps
from services.gateway.domain.person import Person
from services.gateway.domain.realm import DEVICE, PLATFORM, SUPERADMIN, Place, Realm, Role
from services.gateway.handlers.account import open_account
from services.gateway.handlers.administration import deactivate
from tests.services.gateway.api.people import (
    PASSWORD,
    a_client,
    a_gateway,
    entered,
    opened,
    some_email,
    some_name,
)

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


def first(name: str, **more: Any) -> dict[str, Any]:
    return {"username": name, "password": PASSWORD, **more}


async def logged_in(deps: Deps, client: AsyncClient, role: str = "staff") -> Response:
    who = await opened(deps, Realm.KIOSK, role)
    body = {"username": who.person.username, "password": PASSWORD}
    answer = await client.post(LOGIN, json=body)
    assert answer.status_code == 200, answer.text
    return answer


def code_of(answer: Response) -> tuple[int, str]:
    told = answer.json()
    assert told.keys() == {"detail", "code", "request_id"}
    assert told["request_id"] == answer.headers["X-Request-Id"]
    return answer.status_code, told["code"]


async def test_the_first_who_comes_sets_up_and_is_in_at_once(client: AsyncClient) -> None:
    before = (await client.get("/api/v1/setup/status")).json()
    name, email = some_name(), some_email()

    answer = await client.post(SETUP, json=first(name, email=email, phone="8 800 555"))
    after = (await client.get("/api/v1/setup/status")).json()

    assert before.keys() == {"setup_required", "has_superadmin", "message", "endpoint"}
    assert (before["setup_required"], before["has_superadmin"]) == (True, False)
    assert before["endpoint"] == SETUP
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}
    assert isinstance(answer.json()["user"].pop("user_id"), int)
    assert answer.json()["user"] | {"user_id": 0} == {
        "user_id": 0,
        "username": name,
        "email": email,
        "role_name": "superadmin",
        "is_active": True,
    }
    assert (after["setup_required"], after["endpoint"]) == (False, LOGIN)
    says = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = (await client.get("/api/v1/auth/me", headers=says)).json()
    assert (me["is_verified"], me["phone"], me["username"]) == (True, "8 800 555", name)


async def test_whoever_comes_second_does_not(client: AsyncClient) -> None:
    assert (await client.post(SETUP, json=first(some_name()))).status_code == 200

    second = await client.post(SETUP, json=first(some_name()))

    assert code_of(second) == (409, "SETUP_DONE")
    assert "set-cookie" not in second.headers


async def test_whom_the_command_line_made_superadmin_of_everything_closes_the_set_up(
    database: str,
) -> None:
    async with a_gateway(database) as deps, a_client(deps) as client:
        role = Role(Place(Realm.PLATFORM, PLATFORM), SUPERADMIN)
        await open_account(
            deps.identity, Person(email=some_email()), password=PASSWORD, roles=[role], actor="cli"
        )

        assert code_of(await client.post(SETUP, json=first(some_name()))) == (409, "SETUP_DONE")
        assert (await client.get("/api/v1/setup/status")).json()["has_superadmin"] is True


async def test_where_there_is_a_setup_code_nobody_sets_up_without_it(url: str) -> None:
    async with a_gateway(url, setup_code="open sesame") as deps, a_client(deps) as client:
        body, wrong = first(some_name()), {"X-Setup-Code": "open barley"}

        refused = [await client.post(SETUP, json=body, headers=h) for h in ({}, wrong)]
        right = await client.post(SETUP, json=body, headers={"X-Setup-Code": "open sesame"})

        assert {code_of(answer) for answer in refused} == {(401, "INVALID_CREDENTIALS")}
        assert right.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"username": "ab", "password": PASSWORD},
        {"username": "olga", "password": "pw-1234"},
        {"username": "olga", "password": "x" * 73},
        {"username": "olga", "password": PASSWORD, "email": "nobody"},
    ],
)
async def test_what_cannot_be_set_up_is_said_field_by_field(
    client: AsyncClient, body: dict[str, str]
) -> None:
    answer = await client.post(SETUP, json=body)

    assert code_of(answer) == (422, "VALIDATION_ERROR")
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()
    assert body["password"] not in answer.text


async def test_staff_log_in_and_keep_a_cookie_that_scripts_cannot_read(
    deps: Deps, client: AsyncClient
) -> None:
    answer = await logged_in(deps, client, "externalKitchen")

    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "user"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 15 * 60)
    assert answer.json()["user"]["role_name"] == "externalKitchen"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("refresh_token=")
    said = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert said == {"httponly", "max-age=604800", "path=/api/v1/auth/refresh", "samesite=lax"}
    assert answer.headers["cache-control"] == "no-store"


async def test_staff_hear_the_same_whatever_is_wrong_with_a_login(
    deps: Deps, client: AsyncClient
) -> None:
    staff = await opened(deps, Realm.KIOSK, "staff")
    kiosk = await opened(deps, Realm.KIOSK, DEVICE)
    engineer = await opened(deps, Realm.CRM, "ENGINEER")
    foreign = await opened(deps, Realm.KIOSK, "admin", "other")
    gone = await opened(deps, Realm.KIOSK, "staff")
    await deactivate(deps.identity, gone.account_id, reason="test", actor="test")

    answers = [await client.post(LOGIN, json=first(some_name()))]
    answers += [
        await client.post(LOGIN, json=first(str(who.person.username)))
        for who in (kiosk, engineer, foreign, gone)
    ]
    wrong = {"username": staff.person.username, "password": "another one"}
    answers.append(await client.post(LOGIN, json=wrong))

    assert {code_of(answer) for answer in answers} == {(401, "INVALID_CREDENTIALS")}
    assert {answer.json()["detail"] for answer in answers} == {"Incorrect username or password"}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert not any("set-cookie" in answer.headers for answer in answers)


async def test_only_staff_see_who_they_are(deps: Deps, client: AsyncClient) -> None:
    staff = await entered(deps, Realm.KIOSK, "staff")
    kiosk = await entered(deps, Realm.KIOSK, DEVICE)
    engineer = await entered(deps, Realm.CRM, "ENGINEER")

    me = await client.get("/api/v1/auth/me", headers=staff.says)
    others = [
        await client.get("/api/v1/auth/me", headers=says)
        for says in (kiosk.says, engineer.says, {}, {"Authorization": "Bearer a.b.c"})
    ]

    assert me.json().keys() == {
        *("user_id", "username", "email", "phone", "is_active", "is_verified", "role_name"),
        *("created_at", "updated_at", "last_login_at"),
    }
    assert me.json()["user_id"] == staff.profile.number
    assert me.json()["last_login_at"].endswith("Z")
    assert {code_of(answer) for answer in others} == {(401, "INVALID_TOKEN")}
