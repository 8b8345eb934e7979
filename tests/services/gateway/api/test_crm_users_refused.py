"""What administrators of the crm may not do, and others nothing of (spec crm §1.3, §2)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import SUPERADMIN, Place, Realm, Role
from services.gateway.handlers.administration import grant_role
from tests.services.gateway.api.crm import USERS, error_of, new
from tests.services.gateway.api.people import (
    Entered,
    a_client,
    a_gateway,
    entered,
    opened,
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


async def test_an_address_is_one_users_however_it_is_written(
    client: AsyncClient, boss: Entered
) -> None:
    body = new()
    await client.post(USERS, json=body, headers=boss.says)

    again = await client.post(USERS, json=new(email=body["email"].upper()), headers=boss.says)

    assert error_of(again) == (422, "VALIDATION_ERROR")
    assert (
        again.json()["error"]["message"]
        == f"User with email {body['email'].lower()} already exists"
    )
    assert again.json()["error"]["details"] == {"fields": {}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("password", "pw-1234"),
        ("full_name", "x"),
        ("role", "EMPEROR"),
        ("phone", "1" * 21),
        ("city_id", "Москва"),
        ("is_active", None),
    ],
)
async def test_what_cannot_be_a_user_is_said_by_field_and_never_as_a_list(
    client: AsyncClient, boss: Entered, field: str, value: Any
) -> None:
    answer = await client.post(USERS, json=new(**{field: value}), headers=boss.says)

    assert error_of(answer) == (422, "VALIDATION_ERROR")
    assert answer.json()["error"]["details"]["fields"].keys() == {field}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer a.b.c"}])
async def test_whoever_is_nobody_is_led_to_the_login(
    client: AsyncClient, headers: dict[str, str]
) -> None:
    paths = (USERS, f"{USERS}/me", f"{USERS}/supervisors", f"{USERS}/{uuid4()}")

    for door in ("", "/crm"):
        for path in paths:
            answer = await client.get(f"{door}{path}", headers=headers)
            # The site goes to the login if there is no `detail`, or one that says so.
            assert answer.status_code == 401
            assert "unauthorized" in str(answer.json().get("detail", "unauthorized")).lower()
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_last_administrator_remains(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    path = f"{USERS}/{boss.profile.account_id}"
    # Neither one who is not active nor one of another tenant counts.
    sleeping = new(role="ADMIN", is_active=False)
    await client.post(USERS, json=sleeping, headers=boss.says)
    await opened(deps, Realm.CRM, "ADMIN", "other")
    await catch_up(deps.identity)

    for change in ({"role": "ENGINEER"}, {"is_active": False}):
        answer = await client.patch(path, json=change, headers=boss.says)
        assert error_of(answer) == (409, "CONFLICT")
        assert answer.json()["error"]["details"] == {"reason": "LAST_ADMIN"}

    await entered(deps, Realm.CRM, "ADMIN")
    answer = await client.patch(path, json={"role": "ENGINEER"}, headers=boss.says)
    assert answer.status_code == 200


async def test_guessing_a_password_with_a_stolen_token_is_slowed_down(
    deps: Deps, client: AsyncClient
) -> None:
    engineer = await entered(deps, Realm.CRM, "ENGINEER")

    answers = [
        await client.post(
            f"{USERS}/me/password",
            json={"current_password": f"guess {n}", "new_password": "battery staple"},
            headers=engineer.says,
        )
        for n in range(11)
    ]

    assert error_of(answers[-1]) == (429, "RATE_LIMIT_EXCEEDED")
    assert int(answers[-1].headers["Retry-After"]) >= 1


def every_route(user_id: object) -> list[tuple[str, str, Any]]:
    path = f"{USERS}/{user_id}"
    return [
        ("GET", path, None),
        ("PATCH", path, {}),
        ("PATCH", path, {"is_active": False}),
        ("PATCH", path, {"password": "battery staple"}),
    ]


@pytest.mark.parametrize("realm", [Realm.CRM, Realm.KIOSK])
async def test_users_of_another_tenant_or_realm_are_not_there(
    deps: Deps, client: AsyncClient, boss: Entered, realm: Realm
) -> None:
    ours = realm is Realm.KIOSK
    stranger = await entered(
        deps, realm, SUPERADMIN if ours else "SUPERVISOR", None if ours else "other"
    )
    user_id = stranger.profile.account_id

    answers = [
        await client.request(method, path, json=body, headers=boss.says)
        for method, path, body in every_route(user_id)
    ]
    lists = [await client.get(f"{USERS}{end}", headers=boss.says) for end in ("", "/supervisors")]

    assert {error_of(answer) for answer in answers} == {(404, "NOT_FOUND")}
    assert {a.json()["error"]["message"] for a in answers} == {f"User not found: {user_id}"}
    assert str(user_id) not in "".join(answer.text for answer in lists)
    own = "/api/v1/auth/me" if ours else f"{USERS}/me"
    assert (await client.get(own, headers=stranger.says)).json()["is_active"] is True


@pytest.mark.parametrize("role", ["SUPERVISOR", "ENGINEER"])
async def test_only_administrators_make_and_change_users(
    deps: Deps, client: AsyncClient, boss: Entered, role: str
) -> None:
    other = await entered(deps, Realm.CRM, role)

    answers = [
        await client.request(method, path, json=body, headers=other.says)
        for method, path, body in [
            *every_route(boss.profile.account_id),
            ("POST", USERS, new(role="ADMIN")),
            # Nobody makes themselves more than they are.
            ("PATCH", f"{USERS}/{other.profile.account_id}", {"role": "ADMIN"}),
        ]
    ]

    assert {error_of(answer) for answer in answers} == {(403, "FORBIDDEN")}
    assert {a.json()["error"]["message"] for a in answers} == {"Required roles: ADMIN"}


async def test_who_acts_elsewhere_too_keeps_what_is_not_this_administrators_alone(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    both = await entered(deps, Realm.CRM, "ENGINEER")
    account_id, path = both.profile.account_id, f"{USERS}/{both.profile.account_id}"
    role = Role(Place(Realm.CRM, "other"), "ADMIN")
    await grant_role(deps.identity, account_id, role, actor="test")

    refused = [
        await client.patch(path, json=change, headers=boss.says)
        for change in (
            {"password": "battery staple"},
            {"email": some_email()},
            {"is_active": False},
        )
    ]
    granted = await client.patch(path, json={"role": "SUPERVISOR"}, headers=boss.says)

    assert {error_of(answer) for answer in refused} == {(409, "CONFLICT")}
    assert granted.json()["role"] == "SUPERVISOR"
