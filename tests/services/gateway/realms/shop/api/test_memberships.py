"""Invitations to shops: accepting, declining, and the shop of a login."""

import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import pytest

from libs.errors import Unavailable
from libs.testing.polling import eventually
from services.gateway.accounts.domain.account import MOST_OFFERS
from services.gateway.bot import handlers as bot
from services.gateway.bot.api import SECRET_HEADER
from services.gateway.telegram.adapters import webhook_secret
from services.gateway.telegram.domain.bot_update import LAST_ADMIN, NOT_FOUND
from tests.services.gateway.bot_api import TOKEN
from tests.services.gateway.code_context import some_phone
from tests.services.gateway.shop_door import AUTH, Door, Someone, projecting

SHOPS = f"{AUTH}/shops"
updates = itertools.count(10_000)


@pytest.fixture
async def door(url: str) -> AsyncIterator[Door]:
    async with projecting(url) as made:
        yield made


@pytest.fixture
async def anna(door: Door) -> Someone:
    """The admin of a shop."""
    return await door.admin()


@pytest.fixture
async def stranger(door: Door) -> Someone:
    """The admin of another shop."""
    return await door.admin()


async def shop_id_of(door: Door, who: Someone) -> int:
    return int((await door.who_is(who)).json()["shop"]["id"])


async def shops(door: Door, who: Someone) -> list[tuple[str, bool, bool]]:
    """The memberships of a person: tenant, owned, invited."""
    answer = await door.client.get(SHOPS, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [(one["tenant"], one["owned"], one["invited"]) for one in answer.json()["items"]]


async def bot_reply(door: Door, who: Someone, **update: Any) -> Mapping[str, Any]:
    """A message to the bot, or a pressed button; the reply."""
    sender = {"id": who.telegram_id}
    whole: dict[str, Any] = {"update_id": next(updates)}
    if "text" in update:
        chat = {"id": who.telegram_id, "type": "private"}
        whole |= {"message": {"from": sender, "chat": chat, **update}}
    else:
        whole |= {"callback_query": {"id": "pressed", "from": sender, **update}}
    answer = await door.client.post(
        "/api/telegram/webhook", json=whole, headers={SECRET_HEADER: webhook_secret(TOKEN)}
    )
    assert answer.status_code == 200
    return door.api.last_to(who.telegram_id)


async def buttons(door: Door, who: Someone) -> list[str]:
    """What the buttons below `/shops` stand for."""
    said = await bot_reply(door, who, text="/shops")
    rows = said.get("reply_markup", {}).get("inline_keyboard", [])
    return [button["callback_data"] for row in rows for button in row]


async def owner(door: Door) -> Someone:
    return await door.admin()


async def florist(door: Door) -> Someone:
    return (await door.hired(await door.admin()))[0]


SOMEWHERE = pytest.mark.parametrize("account", [owner, florist], ids=lambda one: one.__name__)


@SOMEWHERE
@pytest.mark.parametrize("role", ["admin", "courier"])
async def test_an_invitation_changes_no_membership_and_reveals_nothing_to_the_shop(
    door: Door, stranger: Someone, account: Any, role: str
) -> None:
    who: Someone = await account(door)
    before, number = await shop_id_of(door, who), await door.number_of(who)
    opened_at = datetime.now().astimezone()

    hired = await door.hire(stranger, role, phone=who.phone)
    listed = (await door.staff_by_phone(stranger))[who.phone]
    unknown = await door.hire(stranger, role)
    path = f"/{listed['id']}"
    await door.staff(stranger, "PATCH", path, json={"role": "manager"})
    again = await door.log_in(who)

    assert (hired.status_code, hired.json(), again["shop_id"]) == (200, listed, before)
    assert (await door.who_is(who)).json()["user"]["id"] == number
    # What the shop reads is what it wrote; of somebody nobody knows it reads the same.
    assert listed["id"] != number
    assert (listed["telegram_id"], listed["email"], listed["name"]) == (None, None, "Белла")
    assert datetime.fromisoformat(listed["created_at"]) >= opened_at
    own = {"id", "phone", "created_at", "updated_at"}
    said = [{k: v for k, v in one.items() if k not in own} for one in (listed, unknown.json())]
    assert said[0] == said[1]
    assert abs(unknown.json()["id"] - listed["id"]) < 20
    # Another shop's number of them is nobody there.
    assert (await door.staff(stranger, "GET", f"/{number}")).status_code == 404


@pytest.mark.parametrize("way", ["code", "telegram-login", "florist-login"])
async def test_a_person_without_a_shop_accepts_by_the_first_login(
    door: Door, anna: Someone, stranger: Someone, way: str
) -> None:
    bella = await door.linked()
    await door.hire(stranger, phone=bella.phone, is_active=False)
    hired = (await door.hire(anna, phone=bella.phone)).json()

    if way == "code":
        answer = await door.log_in(bella)
    else:
        body = {"initData": bella.init_data(), "phoneNumber": bella.phone}
        answer = (await door.post(way, body)).json()
        bella.headers = {"Authorization": f"Bearer {answer['access_token']}"}

    assert (answer["shop_id"], answer["is_new_user"]) == (hired["shop_id"], False)
    me = (await door.who_is(bella)).json()["user"]
    assert (me["id"], me["name"], me["role"]) == (hired["id"], "Белла", "florist")
    # From now on nobody else can have them without being asked, and the number stays.
    await door.hire(stranger, "admin")
    assert (await door.log_in(bella))["shop_id"] == hired["shop_id"]
    assert (await door.staff_by_phone(anna))[bella.phone]["id"] == hired["id"]


@pytest.mark.parametrize("by", ["route", "button"])
async def test_a_member_of_another_shop_accepts_and_can_leave(
    door: Door, anna: Someone, stranger: Someone, by: str
) -> None:
    bella, _ = await door.hired(anna)
    home = await shop_id_of(door, bella)
    hired = (await door.hire(stranger, phone=bella.phone)).json()
    there = f"shop-{hired['shop_id']}"
    assert await shops(door, bella) == [(f"shop-{home}", False, False), (there, False, True)]
    await door.code(bella)
    assert "/shops" in door.api.last_to(bella.telegram_id)["text"]

    if by == "route":
        answer = await door.client.post(f"{SHOPS}/{there}/accept", headers=bella.headers)
        assert answer.json()["shop_id"] == hired["shop_id"]
    else:
        assert f"accept {there}" in await buttons(door, bella)
        await bot_reply(door, bella, data=f"accept {there}")
        assert "answerCallbackQuery" in door.api.calls

    assert (await door.log_in(bella))["shop_id"] == hired["shop_id"]
    # The one last used counts, and no change that a boss makes.
    back = await door.client.post(f"{SHOPS}/shop-{home}/login", headers=bella.headers)
    assert back.json()["shop_id"] == home

    async def enters(shop_id: int) -> bool:
        return bool((await door.log_in(bella))["shop_id"] == shop_id)

    await door.change(stranger, hired["id"], {"role": "admin"})
    await eventually(lambda: enters(home), what="a login to the shop last used")
    if by == "route":
        gone = await door.client.delete(f"{SHOPS}/{there}", headers=bella.headers)
        assert gone.status_code == 204
    else:
        await bot_reply(door, bella, data=f"leave {there}")
    assert await shops(door, bella) == [(f"shop-{home}", False, False)]
    # Whoever left is not the shop's to change any more.
    changed = await door.change(stranger, hired["id"], {"role": "courier"})
    assert changed.status_code == 404

    async def is_gone() -> bool:
        return bella.phone not in await door.staff_by_phone(stranger)

    await eventually(is_gone, what="a list without whoever left")


async def test_the_shop_of_ones_own_comes_first(
    door: Door, anna: Someone, stranger: Someone
) -> None:
    home = await shop_id_of(door, anna)
    there = f"shop-{(await door.hire(stranger, 'admin', phone=anna.phone)).json()['shop_id']}"
    answer = await door.client.post(f"{SHOPS}/{there}/accept", headers=anna.headers)

    assert f"shop-{answer.json()['shop_id']}" == there
    assert (await door.log_in(anna))["shop_id"] == home
    assert (f"shop-{home}", True, False) in await shops(door, anna)
    # Nobody leaves a shop without an admin.
    refused = await door.client.delete(f"{SHOPS}/shop-{home}", headers=anna.headers)
    assert refused.status_code == 400
    assert isinstance(refused.json()["detail"], str)
    assert (await bot_reply(door, anna, data=f"leave shop-{home}"))["text"] == LAST_ADMIN


@pytest.mark.parametrize("way", ["code", "telegram-login"])
async def test_the_first_login_accepts_the_oldest_invitation_only(
    door: Door, anna: Someone, stranger: Someone, way: str
) -> None:
    bella = await door.linked()
    hired = (await door.hire(anna, phone=bella.phone)).json()
    other = (await door.hire(stranger, "admin", phone=bella.phone)).json()
    # To correct an invitation is not to invite later.
    corrected = await door.change(anna, hired["id"], {"name": "Белла П."})
    assert corrected.status_code == 200, corrected.text
    last = (await door.hire(await door.admin(), phone=bella.phone)).json()

    if way == "code":
        answer = await door.log_in(bella)
    else:
        body = {"initData": bella.init_data(), "phoneNumber": bella.phone}
        answer = (await door.post(way, body)).json()
        bella.headers = {"Authorization": f"Bearer {answer['access_token']}"}

    assert answer["shop_id"] == hired["shop_id"]
    mine, theirs, third = (f"shop-{one['shop_id']}" for one in (hired, other, last))
    waiting = [(theirs, False, True), (third, False, True)]
    assert await shops(door, bella) == [(mine, False, False), *waiting]
    accepted = await door.client.post(f"{SHOPS}/{theirs}/accept", headers=bella.headers)
    assert accepted.json()["shop_id"] == other["shop_id"]


@pytest.mark.parametrize("of", ["florist", "owner"])
async def test_a_deactivated_member_does_not_accept_an_invitation_by_login(
    door: Door, anna: Someone, stranger: Someone, of: str
) -> None:
    if of == "owner":
        who, number = anna, await door.number_of(anna)
        boss, _ = await door.hired(anna, "admin")
    else:
        boss, (who, number) = anna, await door.hired(anna)

    async def switched_off() -> bool:
        # An owner only once the lists show the other admin.
        body = {"role": "florist", "is_active": False}
        return (await door.change(boss, number, body)).status_code == 200

    await eventually(switched_off, what="somebody switched off in their shop")
    hired = (await door.hire(stranger, "admin", phone=who.phone)).json()
    there = f"shop-{hired['shop_id']}"

    answer = await door.show(who, await door.code(who))
    body = {"initData": who.init_data(), "phoneNumber": who.phone}
    mini_app = await door.post("telegram-login", body)

    assert answer.json().get("shop_id") != hired["shop_id"], answer.text
    assert mini_app.status_code == 404, mini_app.text
    # They are asked, and may say yes.
    assert f"accept {there}" in await buttons(door, who)
    await bot_reply(door, who, data=f"accept {there}")
    assert (await door.log_in(who))["shop_id"] == hired["shop_id"]


async def test_a_hired_phone_opens_a_shop_of_its_own(door: Door, stranger: Someone) -> None:
    """While it works for another, after it left, and with an invitation it has not answered."""
    working, _ = await door.hired(stranger)
    invited = await door.linked()
    await door.hire(stranger, phone=invited.phone)
    for who in (working, invited):
        body = {"initData": who.init_data(), "phone": who.phone, "shop_name": "Своё"}
        made = await door.post("telegram-register", body)
        assert made.status_code == 201, made.text
        assert (await door.log_in(who))["shop_id"] == made.json()["shop_id"]

    leaving, _ = await door.hired(stranger)
    there = f"shop-{await shop_id_of(door, stranger)}"
    await door.client.delete(f"{SHOPS}/{there}", headers=leaving.headers)
    assert (await door.who_is(leaving)).status_code in {401, 404}
    assert (await door.log_in(leaving))["is_new_user"] is True
    assert (await door.complete(leaving, name="Своё")).status_code == 201


async def test_what_is_no_invitation_of_ones_own_is_not_accepted(
    door: Door, anna: Someone, stranger: Someone
) -> None:
    bella, _ = await door.hired(anna)
    other = f"shop-{await shop_id_of(door, stranger)}"
    declined = (await door.hire(stranger, phone=bella.phone)).json()
    await door.client.delete(f"{SHOPS}/{other}", headers=bella.headers)

    for tenant in (other, "shop-0", "demo", "x" * 200):
        for method, path in (("POST", "/accept"), ("POST", "/login"), ("DELETE", "")):
            answer = await door.client.request(
                method, f"{SHOPS}/{tenant}{path}", headers=bella.headers
            )
            assert answer.status_code in {404, 422}, (tenant, path)
    for data in (f"accept {other}", f"leave {other}", "accept shop-0"):
        assert (await bot_reply(door, bella, data=data))["text"] == NOT_FOUND
    assert (await door.change(stranger, declined["id"], {"role": "admin"})).status_code == 404
    # It may be asked again, and is known by the number the shop knew.
    assert (await door.hire(stranger, phone=bella.phone)).json()["id"] == declined["id"]


async def test_what_the_bot_could_not_do_is_done_when_telegram_sends_it_again(
    door: Door, anna: Someone, stranger: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    bella, _ = await door.hired(anna)
    hired = (await door.hire(stranger, phone=bella.phone)).json()
    there = f"shop-{hired['shop_id']}"
    pressed = {"id": "pressed", "from": {"id": bella.telegram_id}, "data": f"accept {there}"}
    update = {"update_id": next(updates), "callback_query": pressed}
    headers = {SECRET_HEADER: webhook_secret(TOKEN)}

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("event log")

    with monkeypatch.context() as patched:
        patched.setattr(bot, "accept", away)
        first = await door.client.post("/api/telegram/webhook", json=update, headers=headers)
    again = await door.client.post("/api/telegram/webhook", json=update, headers=headers)

    assert (first.status_code, again.status_code) == (503, 200)
    assert (there, False, False) in await shops(door, bella)


async def test_a_shop_cannot_invite_without_limit(door: Door, stranger: Someone) -> None:
    bella = (await door.hire(stranger, phone=some_phone())).json()["id"]

    answers = [
        await door.change(stranger, bella, {"name": f"Белла {n}"}) for n in range(MOST_OFFERS)
    ]

    assert [one.status_code for one in answers] == [200] * (MOST_OFFERS - 1) + [400]
    assert isinstance(answers[-1].json()["detail"], str)
    # It can be taken back all the same.
    await door.staff(stranger, "DELETE", f"/{bella}")
    assert bella not in {one["id"] for one in (await door.staff_by_phone(stranger)).values()}


async def test_of_two_shops_that_invite_one_phone_at_once_both_do(
    door: Door, anna: Someone, stranger: Someone
) -> None:
    phone = some_phone()

    answers = [await door.hire(boss, phone=phone) for boss in (anna, stranger)]
    again = [await door.hire(boss, phone=phone) for boss in (anna, stranger)]

    assert [one.status_code for one in (*answers, *again)] == [200, 200, 400, 400]
