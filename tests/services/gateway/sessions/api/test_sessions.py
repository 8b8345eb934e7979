"""People's own sessions and password, and the sessions of the devices they look after."""

from uuid import uuid4

import pytest
from httpx import Response

from contracts.gateway import DeviceEnrolled, LoginRefused, SessionOpened
from services.gateway.accounts.domain.person import email
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.accounts.handlers.identity import profile
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session as sessions
from services.gateway.sessions.handlers.login import LoginFailed, log_in
from tests.services.gateway.device import BRIDGE, LetIn
from tests.services.gateway.device import is_in as answers
from tests.services.gateway.harness import (
    CHIEF,
    KIOSKS,
    MANAGER,
    NEW_PASSWORD,
    PASSWORD,
    SCALES,
    STAFF,
    WEIGHER,
    Harness,
    some_email,
)

SESSIONS, CHANGE = "/api/v1/sessions", "/api/v1/account/password"
KIOSK = Role(KIOSKS, "kiosk")
Headers = dict[str, str]


async def session_ids(demo: Harness, headers: Headers, query: str = "") -> list[str]:
    answer = await demo.client.get(SESSIONS + query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["session_id"] for one in answer.json()["sessions"]]


async def is_in(demo: Harness, headers: Headers) -> bool:
    """Whether a session opens anything."""
    status = (await demo.client.get(SESSIONS, headers=headers)).status_code
    assert status in (200, 401)
    return status == 200


async def test_people_see_their_sessions_in_all_realms(demo: Harness) -> None:
    anna = await demo.create_account(STAFF, WEIGHER)
    there, _ = await demo.log_in(anna, SCALES, device="phone")
    here, headers = await demo.log_in(anna, KIOSKS, device="till")
    await demo.header_of(STAFF)
    await demo.catch_up()

    shown = (await demo.client.get(SESSIONS, headers=headers)).json()["sessions"]

    fields = ("session_id", "present", "realm", "tenant", "device")
    assert [tuple(one[name] for name in fields) for one in shown] == [
        (str(here.session_id), True, "kiosk", "demo", "till"),
        (str(there.session_id), False, "scales", "demo", "phone"),
    ]


async def test_a_session_that_is_ended_opens_nothing(demo: Harness) -> None:
    anna = await demo.create_account(STAFF)
    lost, on_phone = await demo.log_in(anna, KIOSKS)
    here, headers = await demo.log_in(anna, KIOSKS)

    for _ in range(2):
        ended = await demo.client.delete(f"{SESSIONS}/{lost.session_id}", headers=headers)
        assert ended.status_code == 204
    assert not await is_in(demo, on_phone)
    with pytest.raises(SessionOver):
        await sessions.refresh(demo.deps.identity, lost.refresh_token)
    assert await is_in(demo, headers)
    # The present session can be ended too.
    assert (await demo.client.delete(f"{SESSIONS}/{here.session_id}", headers=headers)).is_success
    assert not await is_in(demo, headers)


async def test_all_others_are_ended_or_those_of_one_device(demo: Harness) -> None:
    anna = await demo.create_account(STAFF, WEIGHER)
    _, headers = await demo.log_in(anna, KIOSKS, device="till")
    for workspace, device in ((KIOSKS, "phone"), (KIOSKS, "phone"), (SCALES, "tablet")):
        await demo.log_in(anna, workspace, device=device)
    other = await demo.header_of(STAFF)
    await demo.catch_up()

    for query, ended, left in (("?device=phone", 2, 2), ("", 1, 1)):
        answer = await demo.client.delete(SESSIONS + query, headers=headers)
        await demo.catch_up()
        assert answer.json() == {"revoked": ended}
        assert len(await session_ids(demo, headers)) == left
    assert len(await session_ids(demo, other)) == 1


async def test_a_session_of_another_account_cannot_be_ended(demo: Harness) -> None:
    anna = await demo.create_account(STAFF)
    annas, on_annas = await demo.log_in(anna, KIOSKS)

    for caller in (await demo.header_of(STAFF), await demo.header_of(CHIEF)):
        theirs, nobodys = [
            await demo.client.delete(f"{SESSIONS}/{one}", headers=caller)
            for one in (annas.session_id, uuid4())
        ]
        assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text)
        assert theirs.status_code == 404

    assert await is_in(demo, on_annas)


async def test_only_managers_of_devices_list_and_end_their_sessions(
    demo: Harness, let_in: LetIn
) -> None:
    elsewhere = Role(Workspace(Realm.KIOSK, "other"), "admin")
    kiosk, bridge = await demo.create_account(KIOSK), await let_in(BRIDGE)
    of_kiosk, on_kiosk = await demo.log_in(kiosk, KIOSKS, "Kiosk: hall")
    assert await answers(bridge)
    of_bridge = (await demo.events(SessionOpened))[-1]
    owner = await profile(demo.deps.identity, (await demo.events(DeviceEnrolled))[-1].enrolled_by)
    _, weigher = await demo.log_in(owner, SCALES)
    await demo.catch_up()
    path, of_weigher = [f"{SESSIONS}/{one.session_id}" for one in (of_kiosk, of_bridge)]
    roles = (MANAGER, WEIGHER, CHIEF, STAFF, elsewhere)
    approver, another, chief, staff, stranger = [await demo.header_of(one) for one in roles]

    # Whoever registers at the scales looks after the bridges that they let in themselves.
    for caller, kiosk_seen, bridge_seen in (
        (approver, True, False),
        (weigher, False, True),
        (another, False, False),
        (chief, True, True),
    ):
        seen = await session_ids(demo, caller, "?of=devices")
        assert (str(of_kiosk.session_id) in seen) is kiosk_seen
        assert (str(of_bridge.session_id) in seen) is bridge_seen
    for caller, query in ((staff, ""), (stranger, ""), (stranger, "&tenant=demo")):
        assert await session_ids(demo, caller, f"?of=devices{query}") == []
    for caller in (staff, stranger, weigher, another):
        assert (await demo.client.delete(path, headers=caller)).status_code == 404
    for caller in (staff, stranger, approver, another):
        assert (await demo.client.delete(of_weigher, headers=caller)).status_code == 404
    assert await is_in(demo, on_kiosk)
    assert (await demo.client.delete(path, headers=approver)).status_code == 204
    assert (await demo.client.delete(of_weigher, headers=weigher)).status_code == 204
    assert not await is_in(demo, on_kiosk)


def passwords(old: str = PASSWORD, new: str = NEW_PASSWORD) -> dict[str, str]:
    return {"old_password": old, "new_password": new}


async def change(demo: Harness, headers: Headers, body: dict[str, str]) -> Response:
    return await demo.client.post(CHANGE, json=body, headers=headers)


async def enter(demo: Harness, address: str, password: str, workspace: Workspace = KIOSKS) -> None:
    where = {
        "realm": workspace.realm,
        "tenant": workspace.tenant,
        "password": password,
        "device": "",
    }
    await log_in(demo.deps.identity, **where, address=email(address), attempts=None)


async def test_a_new_password_ends_all_sessions(demo: Harness) -> None:
    address = some_email()
    anna = await demo.create_account(STAFF, WEIGHER, email=address)
    elsewhere, on_scales = await demo.log_in(anna, SCALES)
    await demo.catch_up()
    # So new that no read model knows of it.
    _, headers = await demo.log_in(anna, KIOSKS)

    answer = await change(demo, headers, passwords())

    assert (answer.status_code, answer.content) == (204, b"")
    assert not await is_in(demo, headers)
    assert not await is_in(demo, on_scales)
    with pytest.raises(SessionOver):
        await sessions.refresh(demo.deps.identity, elsewhere.refresh_token)
    with pytest.raises(LoginFailed):
        await enter(demo, address, PASSWORD)
    for workspace in (KIOSKS, SCALES):
        await enter(demo, address, NEW_PASSWORD, workspace)


async def test_a_password_is_not_guessed_with_a_token(demo: Harness) -> None:
    address = some_email()
    anna = await demo.create_account(STAFF, email=address)
    _, headers = await demo.log_in(anna, KIOSKS)

    guesses = [await change(demo, headers, passwords(old=f"guess {n}")) for n in range(11)]

    assert guesses[0].status_code == 403
    assert guesses[0].json() == {"detail": "That is not the present password."}
    assert guesses[-1].status_code == 429
    assert await is_in(demo, headers)
    await enter(demo, address, PASSWORD)
    refused = [one for one in await demo.events(LoginRefused) if one.account_id == anna.account_id]
    assert {(one.realm, one.reason) for one in refused} == {("kiosk", "old password")}


@pytest.mark.parametrize(
    "body",
    [
        passwords(new="pw-1234"),
        passwords(new="x" * 129),
        {"new_password": NEW_PASSWORD},
        passwords() | {"account_id": "somebody else"},
    ],
)
async def test_what_is_no_change_is_not_repeated(demo: Harness, body: dict[str, str]) -> None:
    answer = await change(demo, await demo.header_of(STAFF), body)

    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert body["new_password"] not in answer.text
