"""Users of the kiosks, as their superadmins' clients see and change them (spec kiosk §3.2).

What holds for the crm's users too is in `test_realm_users`.
"""

from typing import Any, Final

import pytest

from services.gateway.domain.realm import SUPERADMIN, Realm
from tests.services.gateway.api.inside import (
    NEW_PASSWORD,
    PASSWORD,
    House,
    Member,
    kiosk_error,
    kiosk_user,
    some_email,
    some_name,
)

USERS: Final = "/api/v1/users"
SHOWN: Final = {
    *("user_id", "username", "email", "phone", "is_active", "is_verified", "role_name"),
    *("created_at", "updated_at", "last_login_at"),
}
INVALID: Final = (422, "VALIDATION_ERROR")


@pytest.fixture
async def boss(house: House) -> Member:
    """The superadmin."""
    return await house.member(Realm.KIOSK, SUPERADMIN)


async def test_a_superadmin_makes_admins_and_kiosks_who_log_in(house: House, boss: Member) -> None:
    admin, kiosk = kiosk_user(email=some_email(), phone="8 800"), kiosk_user(is_verified=True)

    made = await boss.post(f"{USERS}/create-admin", admin)
    box = await boss.post("/api/v1/api/kiosk/create", kiosk)
    other = await boss.post("/api/v1/kiosk/create", kiosk_user())

    assert (made.status_code, box.status_code, other.status_code) == (200, 201, 201)
    assert made.json().keys() == box.json().keys() == SHOWN
    assert made.json()["role_name"] == "admin"
    assert (made.json()["email"], made.json()["phone"]) == (admin["email"], "8 800")
    assert made.json()["updated_at"] is None
    assert (box.json()["role_name"], box.json()["email"]) == ("kiosk", None)
    assert box.json()["is_verified"] is True
    assert (await house.login(admin["username"])).status_code == 200
    assert (await house.login(kiosk["username"], path="kiosk")).status_code == 200


async def test_the_list_goes_by_number_and_page_by_page(house: House, boss: Member) -> None:
    for _ in range(3):
        await boss.post("/api/v1/kiosk/create", kiosk_user())
    await house.catch_up()

    whole, same, part = [
        (await boss.get(f"{USERS}{end}")).json() for end in ("", "/", "/?skip=1&limit=2")
    ]

    assert whole == same
    numbers = [user["user_id"] for user in whole]
    assert numbers[0] == boss.profile.number
    assert numbers == sorted(numbers)
    assert len(numbers) == 4
    assert [user["user_id"] for user in part] == numbers[1:3]
    assert whole[0].keys() == SHOWN
    assert whole[0]["last_login_at"] is not None
    assert whole[1]["last_login_at"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *((f"/?{query}", INVALID) for query in ("skip=-1", "limit=0", "limit=1001", "limit=x")),
        *((f"/{who}", (404, "USER_NOT_FOUND")) for who in ("0", "-1", str(2**63), "9" * 40)),
    ],
)
async def test_no_such_page_or_number(boss: Member, query: str, expected: tuple[int, str]) -> None:
    assert kiosk_error(await boss.get(f"{USERS}{query}")) == expected


async def test_only_what_is_given_changes_and_null_takes_away(house: House, boss: Member) -> None:
    body = kiosk_user(email=some_email(), phone="8 800", is_verified=True)
    made = (await boss.post(f"{USERS}/create-admin", body)).json()
    await house.catch_up()
    path, name = f"{USERS}/{made['user_id']}", some_name()

    async def put(**change: Any) -> Any:
        answer = await boss.put(path, change)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await put() == made
    user = await put(phone=None, role_name="staff")
    assert (user["phone"], user["role_name"], user["is_verified"]) == (None, "staff", True)
    assert user["updated_at"] > user["created_at"]
    user = await put(username=name, email=None, is_verified=False, is_active=False)
    assert (user["username"], user["email"]) == (name, None)
    assert (user["is_verified"], user["is_active"]) == (False, False)
    assert (await boss.get(path)).json() == user
    assert (await house.login(body["username"])).status_code == 401


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
    boss: Member, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert kiosk_error(await boss.put(f"{USERS}/{boss.profile.number}", change)) == expected


async def test_nothing_is_changed_if_the_address_is_taken(house: House, boss: Member) -> None:
    other = await house.account(Realm.KIOSK, "staff")
    await house.catch_up()
    path, change = f"{USERS}/{other.number}", {"email": boss.profile.person.email}

    assert kiosk_error(await boss.put(path, change | {"role_name": "admin"})) == (
        *(409, "EMAIL_TAKEN"),
    )
    assert (await boss.get(path)).json()["role_name"] == "staff"


async def test_of_two_superadmins_one_may_go(house: House, boss: Member) -> None:
    other = await house.member(Realm.KIOSK, SUPERADMIN)
    path = f"{USERS}/{other.profile.number}"

    gone = await boss.delete(path)

    assert (gone.status_code, gone.json().keys()) == (200, {"message"})
    assert (await other.get(f"{USERS}/")).status_code == 401
    for answer in (await boss.get(path), await boss.delete(path)):
        assert kiosk_error(answer) == (404, "USER_NOT_FOUND")


@pytest.mark.parametrize("body", [False, {"is_active": False}], ids=("bare", "object"))
async def test_a_status_is_a_boolean_or_an_object(house: House, boss: Member, body: Any) -> None:
    staff = await house.member(Realm.KIOSK, "staff")
    path = f"{USERS}/status/{staff.profile.person.username}"

    answer, again, back = [await boss.patch(path, one) for one in (body, body, True)]

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


async def test_a_status_is_refused_for_oneself_for_nobody_and_in_other_words(boss: Member) -> None:
    own = f"{USERS}/status/{boss.profile.person.username}"

    for path, body, expected in (
        (own, False, (400, "OWN_ACCOUNT")),
        (f"{USERS}/status/{some_name()}", False, (404, "USER_NOT_FOUND")),
        (own, {"active": False}, INVALID),
        (own, "false", INVALID),
    ):
        assert kiosk_error(await boss.patch(path, body)) == expected


async def test_a_superadmin_sets_a_password_anew(house: House, boss: Member) -> None:
    staff = await house.account(Realm.KIOSK, "staff")
    await house.catch_up()

    reset = await boss.post(f"{USERS}/{staff.number}/password", {"new_password": NEW_PASSWORD})

    assert reset.status_code == 200
    name = str(staff.person.username)
    logins = [await house.login(name, password) for password in (PASSWORD, NEW_PASSWORD)]
    assert [login.status_code for login in logins] == [401, 200]
