"""What superadmins of the kiosks may not do, and others nothing of (spec kiosk §3.2)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import DEVICE, SUPERADMIN, Place, Realm, Role
from services.gateway.handlers.administration import grant_role
from tests.services.gateway.api.kiosks import USERS, code_of, new
from tests.services.gateway.api.people import (
    PASSWORD,
    Entered,
    a_client,
    a_gateway,
    entered,
    opened,
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


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"username": "ab"}, (422, "VALIDATION_ERROR")),
        ({"password": "pw-1234"}, (422, "VALIDATION_ERROR")),
        ({"password": "x" * 101}, (422, "VALIDATION_ERROR")),
        ({"password": "я" * 40}, (400, "PASSWORD_TOO_LONG")),
        ({"email": "nobody"}, (422, "VALIDATION_ERROR")),
        ({"phone": "1" * 51}, (422, "VALIDATION_ERROR")),
    ],
)
async def test_what_cannot_be_a_user_is_refused(
    client: AsyncClient, boss: Entered, body: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = await client.post(f"{USERS}/create-admin", json=new(**body), headers=boss.says)

    assert code_of(answer) == expected


@pytest.mark.parametrize("query", ["skip=-1", "limit=0", "limit=1001", "limit=x"])
async def test_no_page_is_asked_for_that_is_none(
    client: AsyncClient, boss: Entered, query: str
) -> None:
    answer = await client.get(f"{USERS}/?{query}", headers=boss.says)

    assert code_of(answer) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role_name": "emperor"}, (400, "UNKNOWN_ROLE")),
        ({"username": None}, (422, "VALIDATION_ERROR")),
        ({"is_active": None}, (422, "VALIDATION_ERROR")),
        ({"role_name": None}, (422, "VALIDATION_ERROR")),
        ({"email": "nobody"}, (422, "VALIDATION_ERROR")),
    ],
)
async def test_what_cannot_be_changed_is_refused(
    client: AsyncClient, boss: Entered, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    path = f"{USERS}/{boss.profile.number}"

    assert code_of(await client.put(path, json=change, headers=boss.says)) == expected


async def test_nothing_of_a_change_is_done_if_the_address_is_taken(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    other = await opened(deps, Realm.KIOSK, "staff")
    await catch_up(deps.identity)
    path, change = f"{USERS}/{other.number}", {"email": boss.profile.person.email}

    refused = await client.put(path, json=change | {"role_name": "admin"}, headers=boss.says)

    assert code_of(refused) == (409, "EMAIL_TAKEN")
    assert (await client.get(path, headers=boss.says)).json()["role_name"] == "staff"


async def test_the_last_superadmin_can_neither_go_nor_be_less(
    client: AsyncClient, boss: Entered
) -> None:
    path = f"{USERS}/{boss.profile.number}"

    for change in ({"role_name": "admin"}, {"is_active": False}):
        answer = await client.put(path, json=change, headers=boss.says)
        assert code_of(answer) == (409, "LAST_SUPERADMIN")
    assert code_of(await client.delete(path, headers=boss.says)) == (400, "OWN_ACCOUNT")


async def test_a_status_is_refused_for_oneself_for_nobody_and_in_other_words(
    client: AsyncClient, boss: Entered
) -> None:
    own = f"{USERS}/status/{boss.profile.person.username}"

    async def asked(path: str, body: Any) -> tuple[int, str]:
        return code_of(await client.patch(path, json=body, headers=boss.says))

    assert await asked(own, False) == (400, "OWN_ACCOUNT")
    assert await asked(f"{USERS}/status/{some_name()}", False) == (404, "USER_NOT_FOUND")
    assert await asked(own, {"active": False}) == (422, "VALIDATION_ERROR")
    assert await asked(own, "false") == (422, "VALIDATION_ERROR")


def every_route(user: Any) -> list[tuple[str, str, Any]]:
    number, name = user.number, user.person.username
    return [
        ("GET", f"{USERS}/{number}", None),
        ("PUT", f"{USERS}/{number}", {"is_active": False}),
        ("PUT", f"{USERS}/{number}", {}),
        ("DELETE", f"{USERS}/{number}", None),
        ("PATCH", f"{USERS}/status/{name}", False),
        ("POST", f"{USERS}/{number}/password", {"new_password": PASSWORD}),
    ]


@pytest.mark.parametrize("realm", [Realm.KIOSK, Realm.CRM])
async def test_users_of_another_tenant_or_realm_are_not_there(
    deps: Deps, client: AsyncClient, boss: Entered, realm: Realm
) -> None:
    tenant = "other" if realm is Realm.KIOSK else None
    stranger = await entered(deps, realm, "admin" if tenant else "ADMIN", tenant)

    answers = [
        await client.request(method, path, json=body, headers=boss.says)
        for method, path, body in every_route(stranger.profile)
    ]
    listed = (await client.get(f"{USERS}/", headers=boss.says)).json()

    assert {code_of(answer) for answer in answers} == {(404, "USER_NOT_FOUND")}
    assert [user["user_id"] for user in listed] == [boss.profile.number]
    own = "/api/v1/auth/me" if realm is Realm.KIOSK else f"{USERS}/me"
    assert (await client.get(own, headers=stranger.says)).json()["is_active"] is True


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 40])
async def test_a_number_nobody_has_is_not_there(
    client: AsyncClient, boss: Entered, number: str
) -> None:
    answer = await client.get(f"{USERS}/{number}", headers=boss.says)

    assert code_of(answer) == (404, "USER_NOT_FOUND")


@pytest.mark.parametrize("role", ["admin", "staff", "customer", "externalKitchen"])
async def test_who_is_no_superadmin_may_do_none_of_it(
    deps: Deps, client: AsyncClient, boss: Entered, role: str
) -> None:
    other = await entered(deps, Realm.KIOSK, role)

    routes = [
        *every_route(boss.profile),
        ("GET", f"{USERS}/", None),
        ("POST", f"{USERS}/create-admin", new()),
        ("POST", "/api/v1/kiosk/create", new()),
    ]
    answers = [
        await client.request(method, path, json=body, headers=other.says)
        for method, path, body in routes
    ]

    assert {code_of(answer) for answer in answers} == {(403, "FORBIDDEN")}


async def test_who_acts_elsewhere_too_keeps_what_is_not_this_superadmins_alone(
    deps: Deps, client: AsyncClient, boss: Entered
) -> None:
    both = await opened(deps, Realm.KIOSK, "staff")
    crm = Place(Realm.CRM, "other")
    await grant_role(deps.identity, both.account_id, Role(crm, "ADMIN"), actor="test")
    await catch_up(deps.identity)
    path = f"{USERS}/{both.number}"

    refused = [
        await client.put(path, json={"is_active": False}, headers=boss.says),
        await client.put(path, json={"email": some_email()}, headers=boss.says),
        await client.post(f"{path}/password", json={"new_password": PASSWORD}, headers=boss.says),
    ]
    role = await client.put(path, json={"role_name": DEVICE}, headers=boss.says)
    gone = await client.delete(path, headers=boss.says)

    assert {code_of(answer) for answer in refused} == {(409, "ACTS_ELSEWHERE")}
    assert role.json()["role_name"] == DEVICE
    assert gone.status_code == 200
    assert code_of(await client.get(path, headers=boss.says)) == (404, "USER_NOT_FOUND")
    form = {"username": both.person.email, "password": PASSWORD}
    async with (
        a_gateway(
            deps.settings.database_url.get_secret_value(),
            people_tenant="other",
            seal_keys=deps.settings.seal_keys.get_secret_value(),
        ) as there,
        a_client(there) as theirs,
    ):
        assert (await theirs.post("/api/v1/auth/token", data=form)).status_code == 200
