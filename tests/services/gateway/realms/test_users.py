"""Users as the sites of the crm and of the kiosks see and change them (spec crm §2–§4, kiosk §3.2).

What holds for both is in `test_realm_users`.
"""

import unicodedata
from typing import Any, Final
from uuid import uuid4

import pytest

from services.gateway.accounts.domain.realm import SUPERADMIN, Realm
from tests.services.gateway.harness import (
    NEW_PASSWORD,
    PASSWORD,
    Harness,
    Member,
    bearer,
    crm_error,
    crm_user,
    kiosk_error,
    kiosk_user,
    some_email,
    some_name,
)

USERS: Final = "/api/v1/users"
FIELDS: Final = {
    *("id", "email", "full_name", "phone", "role", "city_id", "district_id", "city", "district"),
    *("is_active", "last_login_at", "created_at", "updated_at"),
}


@pytest.fixture
async def boss(harness: Harness) -> Member:
    """The only administrator."""
    return await harness.member(Realm.CRM, "ADMIN")


@pytest.mark.parametrize("path", [USERS, f"{USERS}/"])
async def test_administrators_create_users_who_log_in(
    harness: Harness, boss: Member, path: str
) -> None:
    body = crm_user(phone="8 (800) 555", city_id=str(uuid4()))

    made = await boss.post(path, body)

    assert made.status_code == 201
    user = made.json()
    assert user.keys() == FIELDS
    for name in ("email", "full_name", "phone", "role", "city_id"):
        assert user[name] == body[name]
    assert (user["district_id"], user["is_active"], user["last_login_at"]) == (None, True, None)
    assert user["created_at"].endswith("Z")
    assert PASSWORD not in made.text
    assert (await harness.token(body["email"].upper())).status_code == 200


async def test_all_users_see_themselves_and_permitted_ones_the_list(
    harness: Harness, boss: Member
) -> None:
    supervisor = await harness.member(Realm.CRM, "SUPERVISOR")
    engineer = await harness.member(Realm.CRM, "ENGINEER")

    lists = [
        (await who.get(path)).json() for path in (USERS, f"{USERS}/") for who in (boss, supervisor)
    ]
    refused = await engineer.get(USERS)

    everybody = [str(who.profile.account_id) for who in (boss, supervisor, engineer)]
    assert [[user["id"] for user in listed] for listed in lists] == [everybody] * 4
    assert lists[0][0].keys() == FIELDS
    assert crm_error(refused) == (403, "FORBIDDEN")
    assert refused.json()["error"]["message"] == "Required roles: ADMIN, SUPERVISOR"
    me = (await engineer.get(f"{USERS}/me")).json()
    assert me.keys() == FIELDS | {"scopes"}
    assert me["id"] == everybody[2]
    assert me["last_login_at"] is not None
    assert me["scopes"] == [
        *("customers:read", "customers:write", "objects:read", "visits:read", "visits:write"),
    ]


async def test_supervisors_are_found_by_part_of_name_or_address(
    harness: Harness, boss: Member
) -> None:
    bodies = [
        crm_user(role="SUPERVISOR", full_name="Анна Берг", is_active=False),
        crm_user(role="SUPERVISOR", full_name="Пётр Кузнецов"),
        crm_user(full_name="Анна Инженер"),
    ]
    ids = [(await boss.post(USERS, body)).json()["id"] for body in bodies]
    await harness.catch_up()

    part = bodies[1]["email"][2:14].upper()
    other_spelling = unicodedata.normalize("NFD", "пётр  кузнецов")
    cases = (("", ids[:2]), ("АННА", ids[:1]), (part, ids[1:2]), (other_spelling, ids[1:2]))
    for sought, found in (*cases, ("%", [])):
        answer = await boss.get(f"{USERS}/supervisors", params={"q": sought})
        assert [user["id"] for user in answer.json()] == found, sought


async def test_what_is_given_changes_the_rest_stays(harness: Harness, boss: Member) -> None:
    body = crm_user(phone="8 800", district_id=str(uuid4()))
    made = (await boss.post(USERS, body)).json()
    path, email = f"{USERS}/{made['id']}", some_email()

    async def patch(**change: Any) -> Any:
        answer = await boss.patch(path, change)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def login(address: str, password: str) -> int:
        return (await harness.token(address, password)).status_code

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
async def test_without_a_valid_token_the_client_shows_the_login(
    harness: Harness, headers: dict[str, str]
) -> None:
    for path in (USERS, f"{USERS}/me", f"{USERS}/supervisors", f"{USERS}/{uuid4()}"):
        for door in ("", "/crm"):
            answer = await harness.client.get(f"{door}{path}", headers=headers)
            # The site goes to the login if there is no `detail`, or one that says so.
            assert answer.status_code == 401
            assert "unauthorized" in str(answer.json().get("detail", "unauthorized")).lower()
            assert answer.headers["www-authenticate"] == "Bearer"


SHOWN_AT_KIOSKS: Final = {
    *("user_id", "username", "email", "phone", "is_active", "is_verified", "role_name"),
    *("created_at", "updated_at", "last_login_at"),
}
INVALID: Final = (422, "VALIDATION_ERROR")


@pytest.fixture
async def chief(harness: Harness) -> Member:
    """The superadmin."""
    return await harness.member(Realm.KIOSK, SUPERADMIN)


async def test_a_superadmin_creates_admins_and_kiosks_that_log_in(
    harness: Harness, chief: Member
) -> None:
    admin, kiosk = kiosk_user(email=some_email(), phone="8 800"), kiosk_user(is_verified=True)

    made = await chief.post(f"{USERS}/create-admin", admin)
    box = await chief.post("/api/v1/api/kiosk/create", kiosk)
    other = await chief.post("/api/v1/kiosk/create", kiosk_user())

    assert (made.status_code, box.status_code, other.status_code) == (200, 201, 201)
    assert made.json().keys() == box.json().keys() == SHOWN_AT_KIOSKS
    assert made.json()["role_name"] == "admin"
    assert (made.json()["email"], made.json()["phone"]) == (admin["email"], "8 800")
    assert made.json()["updated_at"] is None
    assert (box.json()["role_name"], box.json()["email"]) == ("kiosk", None)
    assert box.json()["is_verified"] is True
    assert (await harness.login(admin["username"])).status_code == 200
    assert (await harness.login(kiosk["username"], path="kiosk")).status_code == 200


async def test_the_list_goes_by_number_and_page_by_page(harness: Harness, chief: Member) -> None:
    for _ in range(3):
        await chief.post("/api/v1/kiosk/create", kiosk_user())
    await harness.catch_up()

    whole, same, part = [
        (await chief.get(f"{USERS}{end}")).json() for end in ("", "/", "/?skip=1&limit=2")
    ]

    assert whole == same
    numbers = [user["user_id"] for user in whole]
    assert numbers[0] == chief.profile.number
    assert numbers == sorted(numbers)
    assert len(numbers) == 4
    assert [user["user_id"] for user in part] == numbers[1:3]
    assert whole[0].keys() == SHOWN_AT_KIOSKS
    assert whole[0]["last_login_at"] is not None
    assert whole[1]["last_login_at"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *((f"/?{query}", INVALID) for query in ("skip=-1", "limit=0", "limit=1001", "limit=x")),
        *((f"/{who}", (404, "USER_NOT_FOUND")) for who in ("0", "-1", str(2**63), "9" * 40)),
    ],
)
async def test_no_such_page_or_number(chief: Member, query: str, expected: tuple[int, str]) -> None:
    assert kiosk_error(await chief.get(f"{USERS}{query}")) == expected


async def test_only_what_is_given_changes_and_null_takes_away(
    harness: Harness, chief: Member
) -> None:
    body = kiosk_user(email=some_email(), phone="8 800", is_verified=True)
    made = (await chief.post(f"{USERS}/create-admin", body)).json()
    await harness.catch_up()
    path, name = f"{USERS}/{made['user_id']}", some_name()

    async def put(**change: Any) -> Any:
        answer = await chief.put(path, change)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await put() == made
    user = await put(phone=None, role_name="staff")
    assert (user["phone"], user["role_name"], user["is_verified"]) == (None, "staff", True)
    assert user["updated_at"] > user["created_at"]
    user = await put(username=name, email=None, is_verified=False, is_active=False)
    assert (user["username"], user["email"]) == (name, None)
    assert (user["is_verified"], user["is_active"]) == (False, False)
    assert (await chief.get(path)).json() == user
    assert (await harness.login(body["username"])).status_code == 401


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role_name": "emperor"}, (400, "UNKNOWN_ROLE")),
        ({"username": None}, INVALID),
        ({"is_active": None}, INVALID),
        ({"role_name": None}, INVALID),
        ({"email": "nobody"}, INVALID),
    ],
)
async def test_what_cannot_be_changed_is_refused(
    chief: Member, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert kiosk_error(await chief.put(f"{USERS}/{chief.profile.number}", change)) == expected


async def test_of_two_superadmins_one_may_go(harness: Harness, chief: Member) -> None:
    other = await harness.member(Realm.KIOSK, SUPERADMIN)
    path = f"{USERS}/{other.profile.number}"

    gone = await chief.delete(path)

    assert (gone.status_code, gone.json().keys()) == (200, {"message"})
    assert (await other.get(f"{USERS}/")).status_code == 401
    for answer in (await chief.get(path), await chief.delete(path)):
        assert kiosk_error(answer) == (404, "USER_NOT_FOUND")


@pytest.mark.parametrize("body", [False, {"is_active": False}], ids=("bare", "object"))
async def test_a_status_is_a_boolean_or_an_object(
    harness: Harness, chief: Member, body: Any
) -> None:
    staff = await harness.member(Realm.KIOSK, "staff")
    path = f"{USERS}/status/{staff.profile.person.username}"

    answer, again, back = [await chief.patch(path, one) for one in (body, body, True)]

    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "user"}
    assert answer.json()["user"] == {
        "user_id": staff.profile.number,
        "username": staff.profile.person.username,
        "email": staff.profile.person.email,
        "role_name": "staff",
        "is_active": False,
    }
    assert kiosk_error(again) == (400, "ALREADY_SO")
    assert back.json()["user"]["is_active"] is True
    # Whoever was out logs in again.
    assert (await staff.get("/api/v1/auth/me")).status_code == 401


async def test_a_status_is_refused_for_oneself_for_unknown_users_and_malformed(
    chief: Member,
) -> None:
    own = f"{USERS}/status/{chief.profile.person.username}"

    for path, body, expected in (
        (own, False, (400, "OWN_ACCOUNT")),
        (f"{USERS}/status/{some_name()}", False, (404, "USER_NOT_FOUND")),
        (own, {"active": False}, INVALID),
        (own, "false", INVALID),
    ):
        assert kiosk_error(await chief.patch(path, body)) == expected


async def test_a_superadmin_sets_a_password_anew(harness: Harness, chief: Member) -> None:
    staff = await harness.account(Realm.KIOSK, "staff")
    await harness.catch_up()

    reset = await chief.post(f"{USERS}/{staff.number}/password", {"new_password": NEW_PASSWORD})

    assert reset.status_code == 200
    name = str(staff.person.username)
    logins = [await harness.login(name, password) for password in (PASSWORD, NEW_PASSWORD)]
    assert [login.status_code for login in logins] == [401, 200]
