"""The page that approves a device, also under attack."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from httpx import AsyncClient

from contracts.gateway import DeviceEnrolled, DeviceRefused, LoginRefused, SessionOpened
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.device_grants.api.page import STYLE
from services.gateway.device_grants.handlers.grant import BROWSER_LIMIT, LIMIT
from services.gateway.sessions.read_models import live_sessions
from tests.services.gateway.device import (
    ASK,
    BRIDGE,
    PAGE,
    Device,
    answered,
    csrf_of,
    is_in,
    request_codes,
)
from tests.services.gateway.harness import (
    CHIEF,
    KIOSKS,
    MANAGER,
    MOST_STALE_SECONDS,
    PASSWORD,
    STAFF,
    WEIGHER,
    Harness,
    bearer,
    harness_on,
    limit_of,
    some_email,
)

SESSIONS = "/api/v1/sessions"
MOST_WRONG, MOST_WRONG_OF_NETWORK = BROWSER_LIMIT.quota, LIMIT.quota


async def test_the_page_is_small_and_holds_no_script_and_nothing_of_others(
    browser: AsyncClient, kiosk: Device
) -> None:
    empty, filled, strange = [
        await browser.get(PAGE, params=params)
        for params in (
            {},
            {"user_code": kiosk.user_code},
            {"user_code": '"><script>alert(1)</script>'},
        )
    ]

    for page in (empty, filled, strange):
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "<script" not in page.text
        assert not re.search(r"\son\w+=|\sstyle=|https?://", page.text)
        assert f"<style>{STYLE}</style>" in page.text
        cookie = page.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=strict", f"Path={PAGE}"} <= set(cookie.split("; "))
    assert f'value="{kiosk.user_code}"' in filled.text
    assert '<label for="user_code">' in empty.text


async def test_with_tls_the_cookie_is_secure(demo: Harness) -> None:
    async with demo.another_client(base_url="https://gateway") as browser:
        page = await browser.get(PAGE)

    assert "Secure" in page.headers["Set-Cookie"].split("; ")


async def test_the_page_displays_the_device_before_the_answer(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    typed, before = kiosk.user_code.lower().replace("-", " "), await demo.events(DeviceEnrolled)

    page = await browser.post(PAGE, data={"csrf": await csrf_of(browser), "user_code": typed})

    assert page.status_code == 200
    assert "<b>" not in page.text
    for shown in (kiosk.user_code, "Kiosk: Hall <b>1</b>", "Till/1 (Linux)", "10."):
        assert shown in unescape(page.text)
    assert await demo.events(DeviceEnrolled) == before
    assert not await is_in(kiosk)


async def test_an_approval_is_recorded_and_its_session_ends_with_it(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    anna, other = await demo.create_account(MANAGER), await request_codes(demo.client)

    page = await answered(browser, kiosk.user_code, anna.person.email or "")
    await answered(browser, other.user_code, anna.person.email or "", "refuse")
    await demo.catch_up()

    assert page.status_code == 200
    assert 'role="status"' in page.text
    assert await is_in(kiosk)
    opened = [e for e in await demo.events(SessionOpened) if e.account_id == anna.account_id]
    assert [one.device for one in opened] == ["device approval"] * 2
    yes = [e for e in await demo.events(DeviceEnrolled) if e.enrolled_by == anna.account_id]
    no = [e for e in await demo.events(DeviceRefused) if e.refused_by == anna.account_id]
    assert [(e.realm, e.tenant, e.client) for e in (*yes, *no)] == [
        ("kiosk", "demo", "tillstream-kiosk")
    ] * 2
    for secret in (kiosk.user_code, kiosk.device_code, other.user_code, "Hall"):
        assert secret not in str([*yes, *no])
    assert await live_sessions(demo.deps.system, anna.account_id, demo.deps.identity.clock()) == []
    assert not {"access_token", "refresh_token"} & {*browser.cookies}


async def test_sessions_and_devices_are_listed_as_soon_as_they_are_in(database: str) -> None:
    """And no longer once they are out. Nothing carries read models on but waiting answers."""
    async with (
        harness_on(database, stale_wait_seconds=MOST_STALE_SECONDS) as harness,
        harness.another_client() as browser,
    ):
        person = (await harness.account(Realm.KIOSK, "admin")).person
        for count in range(1, 6):
            into = (await harness.login(person.username or "")).json()
            headers = bearer(into["access_token"])
            device = await request_codes(harness.client)
            await answered(browser, device.user_code, person.email or "")
            assert await is_in(device)
            devices = await harness.client.get(f"{SESSIONS}?of=devices", headers=headers)
            own = await harness.client.get(SESSIONS, headers=headers)

            assert len(devices.json()["sessions"]) == count
            assert [one["present"] for one in own.json()["sessions"]] == [True]
            await harness.client.post("/api/v1/auth/logout", headers=headers)


async def test_the_platforms_administrators_let_devices_in_anywhere(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    chief, other = await demo.email_of(CHIEF), await request_codes(demo.client)

    harness = await answered(browser, other.user_code, chief, tenant="platform")
    await answered(browser, kiosk.user_code, chief)
    await answered(browser, other.user_code, chief, tenant="shop-1")

    assert harness.status_code == 422
    assert await is_in(kiosk)
    assert await is_in(other)
    assert [e.tenant for e in await demo.events(DeviceEnrolled)][-2:] == ["demo", "shop-1"]


async def test_an_account_registered_with_an_administrators_address_cannot_approve(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    address, bridge = some_email(), await request_codes(demo.client, BRIDGE)
    body = {"email": address, "password": "of a stranger"}
    assert (await demo.client.post("/auth/register", json=body)).status_code == 201
    await demo.create_account(CHIEF, email=address)

    for device in (kiosk, bridge):
        assert (await answered(browser, device.user_code, address)).status_code == 200
        assert await is_in(device)


async def test_a_manager_of_several_says(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    approver = await demo.email_of(MANAGER, Role(Workspace(Realm.KIOSK, "shop-2"), "admin"))

    unsaid = await answered(browser, kiosk.user_code, approver)
    stranger = await answered(browser, kiosk.user_code, approver, password="wrong")
    said = await answered(browser, kiosk.user_code, approver, tenant="shop-2")

    assert unsaid.status_code == 422
    assert "<option>demo</option><option>shop-2</option>" in unsaid.text
    assert "shop-2" not in stranger.text
    assert said.status_code == 200
    assert await is_in(kiosk)


async def test_under_a_doors_prefix_page_and_cookie_stay_there(browser: AsyncClient) -> None:
    given = (await browser.post(f"/kiosk{ASK}", data={"client_id": BRIDGE})).json()
    path = urlsplit(given["verification_uri"]).path
    page = await browser.get(path)

    assert path == f"/kiosk{PAGE}"
    assert page.status_code == 200
    assert f"Path={path}" in page.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize(
    "role",
    [STAFF, WEIGHER, Role(Workspace(Realm.CRM, "demo"), "ADMIN"), Role(KIOSKS, "kiosk")],
    ids=lambda role: f"{role.workspace.realm} {role.name}",
)
async def test_without_the_permission_to_manage_kiosks_the_refusal_is_that_of_a_stranger(
    demo: Harness, browser: AsyncClient, kiosk: Device, role: Role
) -> None:
    member, approver = await demo.create_account(role), await demo.email_of(MANAGER)

    pages = [
        await answered(browser, kiosk.user_code, email, **more)
        for email, more in (
            (member.person.email or "", {}),
            (some_email(), {}),
            ("no address", {}),
            (approver, {"password": "wrong"}),
            (approver, {"tenant": "other"}),
            (approver, {"tenant": "' OR 1=1"}),
        )
    ]

    assert {page.status_code for page in pages} == {422}
    alerts = {re.search(r'role="alert">([^<]+)<', page.text)[1] for page in pages}  # type: ignore[index]
    assert len(alerts) == 1
    assert not await is_in(kiosk)
    # It is recorded like any refused login.
    refused = [e for e in await demo.events(LoginRefused) if e.account_id == member.account_id]
    assert [(e.realm, e.reason) for e in refused] == [("kiosk", "role")]


async def test_a_code_is_answered_once_and_by_an_answer_only(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    approver = await demo.email_of(MANAGER)

    for answer in ("", "yes", "ALLOW", "refuse"):
        page = await answered(browser, kiosk.user_code, approver, answer)
        assert page.status_code == 200
        assert "correct horse" not in page.text
        assert not await is_in(kiosk)
    assert (await answered(browser, kiosk.user_code, approver)).status_code == 422
    assert not await is_in(kiosk)


async def test_user_codes_cannot_be_tried_one_after_the_other(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    form = {"csrf": await csrf_of(browser), "user_code": kiosk.user_code}
    # Right ones cost no tries.
    for _ in range(MOST_WRONG + 2):
        assert (await browser.post(PAGE, data=form)).status_code == 200
    tried = [
        await browser.post(PAGE, data=form | {"user_code": f"BCDFGHJ{letter}"})
        for letter in "KLMNPQRSTVWX"
    ]
    right = await browser.post(PAGE, data=form)
    address = browser._transport.client[0]  # type: ignore[attr-defined]
    async with demo.another_client(address=address) as beside:
        others = await beside.post(PAGE, data=form | {"csrf": await csrf_of(beside)})

    assert [page.status_code for page in tried[:MOST_WRONG]] == [422] * MOST_WRONG
    assert {page.status_code for page in (*tried[MOST_WRONG:], right)} == {429}
    assert limit_of(right) == "device-code"
    assert int(right.headers["Retry-After"]) <= 60
    assert kiosk.user_code not in right.text
    assert others.status_code == 200
    assert [e for e in await demo.events(LoginRefused) if e.reason == "user code"]


async def test_nor_with_a_new_browser_each_time(demo: Harness, kiosk: Device) -> None:
    address, statuses = "10.98.0.1", []
    for _ in range(MOST_WRONG_OF_NETWORK // MOST_WRONG + 1):
        async with demo.another_client(address=address) as one:
            form = {"csrf": await csrf_of(one), "user_code": "BCDFGHJK"}
            statuses += [(await one.post(PAGE, data=form)).status_code for _ in range(MOST_WRONG)]
    async with demo.another_client() as elsewhere:
        form = {"csrf": await csrf_of(elsewhere), "user_code": kiosk.user_code}
        right = await elsewhere.post(PAGE, data=form)

    assert statuses == [422] * MOST_WRONG_OF_NETWORK + [429] * MOST_WRONG
    assert right.status_code == 200


async def test_no_password_can_be_guessed(
    demo: Harness, browser: AsyncClient, kiosk: Device
) -> None:
    approver = await demo.email_of(MANAGER)

    tried = [
        await answered(browser, kiosk.user_code, approver, password=f"guess {n}") for n in range(11)
    ]

    assert (tried[0].status_code, tried[-1].status_code) == (422, 429)
    assert limit_of(tried[-1]) == "login"


@pytest.mark.parametrize(
    ("csrf", "headers", "status"),
    [
        (None, {}, 403),
        ("", {}, 403),
        ("0" * 64, {}, 403),
        ("its own", {"Cookie": ""}, 403),
        ("its own", {"Cookie": "tillstream_page=" + "x" * 43}, 403),
        ("its own", {"Cookie": "tillstream_page=short"}, 403),
        ("its own", {"Origin": "https://evil.example"}, 403),
        ("its own", {"Origin": "null"}, 403),
        ("its own", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("its own", {"Sec-Fetch-Site": "same-site"}, 403),
        ("another browser's", {}, 403),
        ("its own", {"Origin": "http://gateway", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_a_form_of_another_page_approves_nothing(
    demo: Harness, browser: AsyncClient, kiosk: Device, csrf: str | None, headers: Any, status: int
) -> None:
    form = {"user_code": kiosk.user_code, "email": await demo.email_of(MANAGER)}
    form |= {"password": PASSWORD, "answer": "allow"}
    own = await csrf_of(browser)
    async with demo.another_client() as attacker:
        others = await csrf_of(attacker)
    if csrf is not None:
        form["csrf"] = {"its own": own, "another browser's": others}.get(csrf, csrf)
    if "Cookie" in headers:
        browser.cookies.clear()

    page = await browser.post(PAGE, data=form, headers=headers)

    assert page.status_code == status
    assert await is_in(kiosk) is (status == 200)
