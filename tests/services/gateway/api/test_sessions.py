"""People's own sessions, and those of the devices they look after."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from httpx import AsyncClient

from services.gateway.deps import Deps
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.domain.session import SessionOver
from services.gateway.handlers import session as sessions
from tests.services.gateway.api.inside import (
    CHIEF,
    HOUSE,
    KIOSKS,
    MANAGER,
    SCALES,
    STAFF,
    WEIGHER,
    as_somebody,
    catch_up,
    client_of,
    gateway_on,
    inside,
    somebody,
)

SESSIONS = "/api/v1/sessions"
KIOSK, BRIDGE = Role(KIOSKS, "kiosk"), Role(SCALES, "bridge")


@pytest.fixture
async def deps(url: str) -> AsyncIterator[Deps]:
    async with gateway_on(url) as opened:
        yield opened


@pytest.fixture
async def client(deps: Deps) -> AsyncIterator[AsyncClient]:
    async with client_of(deps) as opened:
        yield opened


async def listed(client: AsyncClient, headers: dict[str, str], query: str = "") -> list[str]:
    answer = await client.get(SESSIONS + query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [one["session_id"] for one in answer.json()["sessions"]]


async def test_somebody_sees_all_their_sessions_whatever_realm_they_are_in(
    deps: Deps, client: AsyncClient
) -> None:
    anna = await somebody(deps, STAFF, WEIGHER)
    there, _ = await inside(deps, anna.account_id, SCALES, device="phone")
    here, headers = await inside(deps, anna.account_id, KIOSKS, device="till")
    await as_somebody(deps, STAFF)
    await catch_up(deps)

    shown = (await client.get(SESSIONS, headers=headers)).json()["sessions"]

    assert [one["session_id"] for one in shown] == [str(here.session_id), str(there.session_id)]
    assert [one["present"] for one in shown] == [True, False]
    assert [(one["realm"], one["tenant"], one["device"]) for one in shown] == [
        ("kiosk", "demo", "till"),
        ("scales", "demo", "phone"),
    ]


async def test_a_session_that_is_ended_opens_nothing_from_then_on(
    deps: Deps, client: AsyncClient
) -> None:
    anna = await somebody(deps, STAFF)
    lost, on_phone = await inside(deps, anna.account_id, KIOSKS)
    _, headers = await inside(deps, anna.account_id, KIOSKS)
    path = f"{SESSIONS}/{lost.session_id}"

    ended = [await client.delete(path, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in ended] == [204, 204]
    assert (await client.get(SESSIONS, headers=on_phone)).status_code == 401
    with pytest.raises(SessionOver):
        await sessions.refresh(deps.identity, lost.refresh_token)
    assert (await client.get(SESSIONS, headers=headers)).status_code == 200


async def test_the_present_session_can_be_ended_too(deps: Deps, client: AsyncClient) -> None:
    anna = await somebody(deps, STAFF)
    here, headers = await inside(deps, anna.account_id, KIOSKS)

    assert (await client.delete(f"{SESSIONS}/{here.session_id}", headers=headers)).is_success
    assert (await client.get(SESSIONS, headers=headers)).status_code == 401


async def test_all_others_are_ended_or_those_of_one_device(deps: Deps, client: AsyncClient) -> None:
    anna = await somebody(deps, STAFF, WEIGHER)
    _, headers = await inside(deps, anna.account_id, KIOSKS, device="till")
    for place, device in ((KIOSKS, "phone"), (KIOSKS, "phone"), (SCALES, "tablet")):
        await inside(deps, anna.account_id, place, device=device)
    other = await as_somebody(deps, STAFF)
    await catch_up(deps)

    phones = await client.delete(f"{SESSIONS}?device=phone", headers=headers)
    await catch_up(deps)
    left = await listed(client, headers)
    rest = await client.delete(SESSIONS, headers=headers)
    await catch_up(deps)

    assert phones.json() == {"revoked": 2}
    assert len(left) == 2
    assert rest.json() == {"revoked": 1}
    assert len(await listed(client, headers)) == 1
    assert len(await listed(client, other)) == 1


async def test_nobody_ends_somebody_elses_session(deps: Deps, client: AsyncClient) -> None:
    anna, boris = await somebody(deps, STAFF), await somebody(deps, STAFF)
    annas, on_annas = await inside(deps, anna.account_id, KIOSKS)
    _, headers = await inside(deps, boris.account_id, KIOSKS)
    chief = await as_somebody(deps, CHIEF)

    for caller in (headers, chief):
        theirs = await client.delete(f"{SESSIONS}/{annas.session_id}", headers=caller)
        nobodys = await client.delete(f"{SESSIONS}/{uuid4()}", headers=caller)
        assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text)
        assert theirs.status_code == 404

    assert (await client.get(SESSIONS, headers=on_annas)).status_code == 200


async def test_devices_are_seen_and_ended_by_whoever_manages_them_and_nobody_else(
    deps: Deps, client: AsyncClient
) -> None:
    elsewhere = Role(Place(Realm.KIOSK, "other"), "admin")
    kiosk, bridge = await somebody(deps, KIOSK), await somebody(deps, BRIDGE)
    of_kiosk, on_kiosk = await inside(deps, kiosk.account_id, KIOSKS, "Kiosk: hall")
    of_bridge, _ = await inside(deps, bridge.account_id, SCALES, "Scale bridge")
    await catch_up(deps)
    devices, path = "?of=devices", f"{SESSIONS}/{of_kiosk.session_id}"

    manager, weigher, chief = [await as_somebody(deps, r) for r in (MANAGER, WEIGHER, CHIEF)]
    staff, stranger = [await as_somebody(deps, r) for r in (STAFF, elsewhere)]

    assert str(of_kiosk.session_id) in await listed(client, manager, devices)
    assert str(of_bridge.session_id) not in await listed(client, manager, devices)
    assert str(of_bridge.session_id) in await listed(client, weigher, devices)
    assert {str(of_kiosk.session_id), str(of_bridge.session_id)} <= {
        *await listed(client, chief, devices)
    }
    assert await listed(client, staff, devices) == await listed(client, stranger, devices) == []
    assert await listed(client, stranger, f"{devices}&tenant=demo") == []
    for caller in (staff, stranger, weigher):
        assert (await client.delete(path, headers=caller)).status_code == 404
    assert (await client.get(SESSIONS, headers=on_kiosk)).status_code == 200
    assert (await client.delete(path, headers=manager)).status_code == 204
    assert (await client.get(SESSIONS, headers=on_kiosk)).status_code == 401


async def test_sessions_are_for_those_who_are_in(deps: Deps, client: AsyncClient) -> None:
    chief = await somebody(deps, CHIEF)
    into, _ = await inside(deps, chief.account_id, HOUSE)
    for headers in ({}, {"Authorization": f"Bearer {into.refresh_token}"}):
        for method, path in (
            ("GET", SESSIONS),
            ("DELETE", SESSIONS),
            ("DELETE", f"{SESSIONS}/{uuid4()}"),
        ):
            assert (await client.request(method, path, headers=headers)).status_code == 401
