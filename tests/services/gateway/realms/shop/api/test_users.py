"""A shop's staff, as its admin's pages manage them, and who may (spec shop §2.5, §4.7, §10 S13)."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.gateway import RoleGranted
from libs.eventsourcing.log import Metadata
from libs.testing.polling import eventually
from services.gateway.accounts.domain.account import ACCOUNT
from services.gateway.accounts.domain.realm import PLATFORM
from tests.services.gateway.code_context import some_phone
from tests.services.gateway.shop_door import Door, Someone, projecting

USER = {
    *("id", "shop_id", "phone", "name", "email", "role", "is_active", "telegram_id"),
    *("permissions", "created_at", "updated_at"),
}


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with projecting(url) as made:
        yield made


@pytest.fixture
async def anna(door: Door) -> Someone:
    """The admin of a shop."""
    return await door.admin()


async def test_a_hired_member_is_listed_and_logs_in(door: Door, anna: Someone) -> None:
    bella = await door.linked()

    answer = await door.hire(anna, phone=bella.phone, email="bella@shop.example", telegram_id=4242)
    listed = (await door.staff_by_phone(anna))[bella.phone]
    await door.log_in(bella)
    me = (await door.who_is(bella)).json()

    user = answer.json()
    assert answer.status_code == 200
    assert user.keys() == USER
    assert user == listed
    assert (user["name"], user["role"], user["is_active"]) == ("Белла", "florist", True)
    assert (user["email"], user["telegram_id"]) == ("bella@shop.example", "4242")
    assert user["permissions"]["orders"] is True
    assert user["permissions"]["users"] is False
    assert (me["user"]["name"], me["user"]["role"]) == ("Белла", "florist")
    assert me["shop"]["phone"] == anna.phone


async def test_what_cannot_be_hired_is_a_text_the_page_shows(door: Door, anna: Someone) -> None:
    wrong: tuple[dict[str, str], ...] = (
        {"phone": "8 701 123 45 67"},
        {"name": ""},
        {"name": "x" * 101},
        {"role": "owner"},
        {"role": "florist off"},
        {"email": "nobody"},
        {"telegram_id": "me"},
    )
    for field in wrong:
        answer = await door.hire(anna, **field)

        assert answer.status_code == 422, field
        assert isinstance(answer.json()["detail"], str)


async def test_a_phone_or_address_is_used_once_in_a_shop(door: Door, anna: Someone) -> None:
    phone = some_phone()
    await door.hire(anna, phone=phone, email="Bella@shop.example")

    # An empty one is none.
    for empty in ("", None):
        answer = await door.hire(anna, email=empty)
        assert (answer.status_code, answer.json()["email"]) == (200, None)
    again = [
        await door.hire(anna, phone=phone),
        await door.hire(anna, phone=anna.phone),
        await door.hire(anna, email="bella@shop.example"),
    ]

    assert {answer.status_code for answer in again} == {400}
    assert {type(answer.json()["detail"]) for answer in again} == {str}


async def test_two_shops_may_call_one_person_what_they_like(door: Door, anna: Someone) -> None:
    other, _ = await door.registered()
    phone = some_phone()

    first = await door.hire(anna, phone=phone, name="Белла", email="bella@shop.example")
    second = await door.hire(other, phone=phone, name="Изабелла")

    assert (first.status_code, second.status_code) == (200, 200)
    # Nor does either number say that it is one person.
    assert first.json()["id"] != second.json()["id"]
    # What one shop wrote of her the other does not see.
    assert (second.json()["name"], second.json()["email"]) == ("Изабелла", None)
    assert (await door.staff_by_phone(anna))[phone]["name"] == "Белла"


async def test_a_shop_cannot_send_somebodys_codes_elsewhere(door: Door, anna: Someone) -> None:
    thief, _ = await door.registered()
    bella, _ = await door.hired(anna)
    stolen_to = {"telegram_id": thief.telegram_id}
    hired = await door.hire(thief, "courier", phone=bella.phone, **stolen_to)
    await door.change(thief, hired.json()["id"], stolen_to)

    stolen = await door.post(
        "florist-login", {"initData": thief.init_data(), "phoneNumber": bella.phone}
    )
    await door.code(bella)

    assert stolen.status_code == 401
    assert door.api.messages[-1]["chat_id"] == bella.telegram_id


async def test_the_list_is_searched_filtered_and_paged(door: Door, anna: Someone) -> None:
    one, two = some_phone(), some_phone()
    await door.hire(anna, phone=one, name="Белла")
    await door.hire(anna, "courier", phone=two, name="Алексей  Рой", is_active=False)

    for found, query in (
        (one, {"search": "бел"}),
        (two, {"search": unicodedata.normalize("NFD", " алексей рой ")}),
        (two, {"search": two[3:]}),
        (two, {"role": "courier"}),
        (two, {"is_active": "false"}),
    ):
        assert (await door.staff_by_phone(anna, **query)).keys() == {found}
    page = (await door.staff(anna, "GET", "?skip=1&limit=1")).json()
    assert (len(page["items"]), page["total"]) == (1, 3)
    assert (await door.staff(anna, "GET", "?limit=101")).status_code == 422


async def test_a_deactivated_member_stays_listed_and_is_logged_out(
    door: Door, anna: Someone
) -> None:
    bella, number = await door.hired(anna)

    off = await door.staff(anna, "DELETE", f"/{number}")
    seen = await door.who_is(bella)
    again = await door.change(anna, number, {"is_active": True})

    assert (off.status_code, off.json()["is_active"]) == (200, False)
    assert seen.status_code in {401, 403}
    assert again.json()["is_active"] is True
    assert (await door.log_in(bella))["shop_id"] == again.json()["shop_id"]


async def test_a_member_whose_role_no_longer_exists_is_not_listed_and_hides_no_other(
    door: Door, anna: Someone
) -> None:
    bella, number = await door.hired(anna)
    tenant = (await door.client.get("/api/auth/shops", headers=anna.headers)).json()["items"][0]
    role = RoleGranted(
        account_id=await door.account_of(bella),
        realm="shop",
        tenant=tenant["tenant"],
        role="gardener",
        granted_at=datetime.now(UTC),
    )
    stream, store = ACCOUNT.stream(role.account_id), door.deps.identity.store
    history = await store.read(PLATFORM, stream)
    await store.append(stream, [role], expected=history.version, metadata=Metadata(tenant=PLATFORM))

    async def listed() -> list[str]:
        answer = await door.staff(anna, "GET", "")
        return [one["phone"] for one in answer.json().get("items", ())]

    await eventually(listed, [anna.phone])
    hired = await door.hire(anna, phone=some_phone(), email="cleo@shop.example")

    assert hired.status_code == 200
    assert (await door.staff(anna, "GET", f"/{number}")).status_code == 404


async def test_another_shops_people_do_not_exist(door: Door, anna: Someone) -> None:
    other = await door.admin()
    number = await door.number_of(other)

    answers = [
        await door.staff(anna, "GET", f"/{number}"),
        await door.change(anna, number, {"name": "Никто"}),
        await door.change(anna, number, {"orders": False}, "/permissions"),
        await door.staff(anna, "DELETE", f"/{number}"),
        await door.staff(anna, "GET", f"/{2**70}"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert other.phone not in await door.staff_by_phone(anna)


async def test_another_role_has_its_permissions_and_no_sessions(door: Door, anna: Someone) -> None:
    bella, number = await door.hired(anna)
    # So that the session is known to the lists.
    await door.hire(anna)

    answer = await door.change(anna, number, {"role": "manager"})

    assert answer.json()["role"] == "manager"
    assert answer.json()["permissions"]["warehouse"] is True
    assert (await door.who_is(bella)).status_code == 401


@pytest.mark.parametrize("wrapped", [True, False])
async def test_permissions_come_bare_or_wrapped(door: Door, anna: Someone, wrapped: bool) -> None:
    bella, number = await door.hired(anna)
    given: dict[str, Any] = {"customers": True, "production": False}

    body = {"permissions": given} if wrapped else given
    answer = await door.change(anna, number, body, "/permissions")
    await door.log_in(bella)

    held = {key for key, may in answer.json()["permissions"].items() if may}
    assert (answer.status_code, held) == (200, {"orders", "customers"})
    assert (await door.who_is(bella)).json()["user"]["permissions"] == answer.json()["permissions"]
    bodies: tuple[object, ...] = ({"money": True}, {"orders": "yes"}, {"permissions": None}, [])
    for wrong in bodies:
        answer = await door.change(anna, number, wrong, "/permissions")
        assert answer.status_code == 422, wrong
        assert isinstance(answer.json()["detail"], str)


async def test_an_admin_is_not_switched_off_nor_restricted(door: Door, anna: Someone) -> None:
    _, number = await door.hired(anna, "admin")

    off = await door.staff(anna, "DELETE", f"/{number}")
    less = await door.change(anna, number, {"users": False}, "/permissions")

    assert (off.status_code, less.status_code) == (400, 400)


async def test_members_cannot_raise_their_own_privileges(door: Door, anna: Someone) -> None:
    bella, number = await door.hired(anna)
    await door.change(anna, number, {"users": True}, "/permissions")
    await door.log_in(bella)
    boss = await door.number_of(anna)

    answers = [
        await door.change(bella, number, {"role": "admin"}),
        await door.change(bella, number, {"settings": True}, "/permissions"),
        await door.hire(bella, "admin"),
        await door.hire(bella, "manager"),
        await door.change(bella, boss, {"role": "courier"}),
        await door.change(bella, boss, {"name": "Никто"}),
    ]
    allowed = await door.hire(bella, "courier")

    assert {answer.status_code for answer in answers} == {403}
    assert allowed.status_code == 200
    assert (await door.staff_by_phone(anna))[anna.phone]["role"] == "admin"


async def test_an_admin_does_not_change_what_they_themselves_are(door: Door, anna: Someone) -> None:
    number = await door.number_of(anna)

    for body in ({"role": "florist"}, {"is_active": False}):
        assert (await door.change(anna, number, body)).status_code == 403
    # A form may send what is so already.
    same = await door.change(anna, number, {"role": "admin", "name": "Анна", "email": ""})
    assert (same.status_code, same.json()["name"]) == (200, "Анна")


async def test_of_two_admins_who_deactivate_each_other_one_remains(
    door: Door, anna: Someone
) -> None:
    bella, number = await door.hired(anna, "admin")
    own = await door.number_of(anna)
    await door.known(bella)

    answers = await asyncio.gather(
        door.change(anna, number, {"role": "florist"}),
        door.change(bella, own, {"role": "florist"}),
    )

    assert sorted(answer.status_code for answer in answers) in ([200, 400], [200, 401])


@pytest.mark.parametrize("role", ["manager", "florist", "courier"])
async def test_without_the_permission_no_users_are_listed(
    door: Door, anna: Someone, role: str
) -> None:
    bella, number = await door.hired(anna, role)

    answers = [
        await door.staff(bella, "GET"),
        await door.hire(bella),
        await door.change(bella, number, {"role": "admin"}),
        await door.change(bella, number, {"users": True}, "/permissions"),
        await door.staff(bella, "DELETE", f"/{number}"),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["detail"] for answer in answers} == {"Недостаточно прав"}
