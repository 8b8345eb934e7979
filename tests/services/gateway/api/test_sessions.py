"""People's own sessions and password, and the sessions of the devices they look after."""

from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from contracts.gateway import LoginRefused
from services.gateway.deps import Deps
from services.gateway.domain.person import email
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import session as sessions
from services.gateway.handlers.login import LoginFailed, log_in
from tests.services.gateway.api.inside import (
    CHIEF,
    HOUSE,
    KIOSKS,
    MANAGER,
    NEW_PASSWORD,
    PASSWORD,
    SCALES,
    STAFF,
    WEIGHER,
    as_somebody,
    bearer,
    catch_up,
    events,
    inside,
    some_email,
    somebody,
)

SESSIONS, CHANGE = "/api/v1/sessions", "/api/v1/account/password"
KIOSK, BRIDGE = Role(KIOSKS, "kiosk"), Role(SCALES, "bridge")
Headers = dict[str, str]


async def listed(client: AsyncClient, headers: Headers, query: str = "") -> list[str]:
    answer = await client.get(SESSIONS + query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["session_id"] for one in answer.json()["sessions"]]


async def is_in(client: AsyncClient, headers: Headers) -> bool:
    """Whether a session opens anything."""
    status = (await client.get(SESSIONS, headers=headers)).status_code
    assert status in (200, 401)
    return status == 200


async def test_people_see_their_sessions_in_all_realms(deps: Deps, client: AsyncClient) -> None:
    anna = await somebody(deps, STAFF, WEIGHER)
    there, _ = await inside(deps, anna.account_id, SCALES, device="phone")
    here, headers = await inside(deps, anna.account_id, KIOSKS, device="till")
    await as_somebody(deps, STAFF)
    await catch_up(deps)

    shown = (await client.get(SESSIONS, headers=headers)).json()["sessions"]

    fields = ("session_id", "present", "realm", "tenant", "device")
    assert [tuple(one[name] for name in fields) for one in shown] == [
        (str(here.session_id), True, "kiosk", "demo", "till"),
        (str(there.session_id), False, "scales", "demo", "phone"),
    ]


async def test_a_session_that_is_ended_opens_nothing(deps: Deps, client: AsyncClient) -> None:
    anna = await somebody(deps, STAFF)
    lost, on_phone = await inside(deps, anna.account_id, KIOSKS)
    here, headers = await inside(deps, anna.account_id, KIOSKS)

    for _ in range(2):
        ended = await client.delete(f"{SESSIONS}/{lost.session_id}", headers=headers)
        assert ended.status_code == 204
    assert not await is_in(client, on_phone)
    with pytest.raises(SessionOver):
        await sessions.refresh(deps.identity, lost.refresh_token)
    assert await is_in(client, headers)
    # The present session can be ended too.
    assert (await client.delete(f"{SESSIONS}/{here.session_id}", headers=headers)).is_success
    assert not await is_in(client, headers)


async def test_all_others_are_ended_or_those_of_one_device(deps: Deps, client: AsyncClient) -> None:
    anna = await somebody(deps, STAFF, WEIGHER)
    _, headers = await inside(deps, anna.account_id, KIOSKS, device="till")
    for place, device in ((KIOSKS, "phone"), (KIOSKS, "phone"), (SCALES, "tablet")):
        await inside(deps, anna.account_id, place, device=device)
    other = await as_somebody(deps, STAFF)
    await catch_up(deps)

    for query, ended, left in (("?device=phone", 2, 2), ("", 1, 1)):
        answer = await client.delete(SESSIONS + query, headers=headers)
        await catch_up(deps)
        assert answer.json() == {"revoked": ended}
        assert len(await listed(client, headers)) == left
    assert len(await listed(client, other)) == 1


async def test_nobody_ends_somebody_elses_session(deps: Deps, client: AsyncClient) -> None:
    anna = await somebody(deps, STAFF)
    annas, on_annas = await inside(deps, anna.account_id, KIOSKS)

    for caller in (await as_somebody(deps, STAFF), await as_somebody(deps, CHIEF)):
        theirs, nobodys = [
            await client.delete(f"{SESSIONS}/{one}", headers=caller)
            for one in (annas.session_id, uuid4())
        ]
        assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text)
        assert theirs.status_code == 404

    assert await is_in(client, on_annas)


async def test_only_who_manages_devices_sees_and_ends_them(deps: Deps, client: AsyncClient) -> None:
    elsewhere = Role(Place(Realm.KIOSK, "other"), "admin")
    kiosk, bridge = await somebody(deps, KIOSK), await somebody(deps, BRIDGE)
    of_kiosk, on_kiosk = await inside(deps, kiosk.account_id, KIOSKS, "Kiosk: hall")
    of_bridge, _ = await inside(deps, bridge.account_id, SCALES, "Scale bridge")
    await catch_up(deps)
    path = f"{SESSIONS}/{of_kiosk.session_id}"
    roles = (MANAGER, WEIGHER, CHIEF, STAFF, elsewhere)
    manager, weigher, chief, staff, stranger = [await as_somebody(deps, one) for one in roles]

    for caller, kiosk_seen, bridge_seen in (
        (manager, True, False),
        (weigher, False, True),
        (chief, True, True),
    ):
        seen = await listed(client, caller, "?of=devices")
        assert (str(of_kiosk.session_id) in seen) is kiosk_seen
        assert (str(of_bridge.session_id) in seen) is bridge_seen
    for caller, query in ((staff, ""), (stranger, ""), (stranger, "&tenant=demo")):
        assert await listed(client, caller, f"?of=devices{query}") == []
    for caller in (staff, stranger, weigher):
        assert (await client.delete(path, headers=caller)).status_code == 404
    assert await is_in(client, on_kiosk)
    assert (await client.delete(path, headers=manager)).status_code == 204
    assert not await is_in(client, on_kiosk)


async def test_sessions_and_passwords_are_for_members(deps: Deps, client: AsyncClient) -> None:
    chief = await somebody(deps, CHIEF)
    into, _ = await inside(deps, chief.account_id, HOUSE)

    for headers in ({}, bearer(into.refresh_token)):
        for method, path, body in (
            ("GET", SESSIONS, None),
            ("DELETE", SESSIONS, None),
            ("DELETE", f"{SESSIONS}/{uuid4()}", None),
            ("POST", CHANGE, passwords()),
        ):
            answer = await client.request(method, path, json=body, headers=headers)
            assert answer.status_code == 401


def passwords(old: str = PASSWORD, new: str = NEW_PASSWORD) -> dict[str, str]:
    return {"old_password": old, "new_password": new}


async def change(client: AsyncClient, headers: Headers, body: dict[str, str]) -> Response:
    return await client.post(CHANGE, json=body, headers=headers)


async def enter(deps: Deps, address: str, password: str, place: Place = KIOSKS) -> None:
    where = {"realm": place.realm, "tenant": place.tenant}
    await log_in(deps.identity, **where, address=email(address), password=password, device="")


async def test_a_new_password_ends_all_sessions(deps: Deps, client: AsyncClient) -> None:
    address = some_email()
    anna = await somebody(deps, STAFF, WEIGHER, email=address)
    elsewhere, on_scales = await inside(deps, anna.account_id, SCALES)
    await catch_up(deps)
    # So new that no read model knows of it.
    _, headers = await inside(deps, anna.account_id, KIOSKS)

    answer = await change(client, headers, passwords())

    assert (answer.status_code, answer.content) == (204, b"")
    assert not await is_in(client, headers)
    assert not await is_in(client, on_scales)
    with pytest.raises(SessionOver):
        await sessions.refresh(deps.identity, elsewhere.refresh_token)
    with pytest.raises(LoginFailed):
        await enter(deps, address, PASSWORD)
    for place in (KIOSKS, SCALES):
        await enter(deps, address, NEW_PASSWORD, place)


async def test_a_password_is_not_guessed_with_a_token(deps: Deps, client: AsyncClient) -> None:
    address = some_email()
    anna = await somebody(deps, STAFF, email=address)
    _, headers = await inside(deps, anna.account_id, KIOSKS)

    guesses = [await change(client, headers, passwords(old=f"guess {n}")) for n in range(11)]

    assert guesses[0].status_code == 403
    assert guesses[0].json() == {"detail": "That is not the present password."}
    assert guesses[-1].status_code == 429
    assert await is_in(client, headers)
    await enter(deps, address, PASSWORD)
    refused = [one for one in await events(deps, LoginRefused) if one.account_id == anna.account_id]
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
async def test_what_is_no_change_is_refused_without_a_word_of_it(
    deps: Deps, client: AsyncClient, body: dict[str, str]
) -> None:
    answer = await change(client, await as_somebody(deps, STAFF), body)

    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert body["new_password"] not in answer.text
