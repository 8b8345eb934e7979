"""The page on which somebody lets a device in."""

import re
from html import unescape
from urllib.parse import urlsplit

from httpx import AsyncClient

from contracts.gateway import DeviceEnrolled, DeviceRefused, SessionOpened
from services.gateway.api.device_page import STYLE
from services.gateway.deps import Deps
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.read_models.session import live_sessions
from tests.services.gateway.api.device import (
    BRIDGE,
    PAGE,
    Device,
    answered,
    asking,
    csrf_of,
    is_in,
    of,
)
from tests.services.gateway.api.inside import (
    CHIEF,
    MANAGER,
    WEIGHER,
    catch_up,
    client_of,
    events,
    some_email,
    somebody,
)


async def test_the_page_is_small_and_holds_no_script_and_nothing_of_others(
    browser: AsyncClient, kiosk: Device
) -> None:
    empty = await browser.get(PAGE)
    filled = await browser.get(PAGE, params={"user_code": kiosk.user_code})
    strange = await browser.get(PAGE, params={"user_code": '"><script>alert(1)</script>'})

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


async def test_behind_tls_the_cookie_stays_there(deps: Deps) -> None:
    async with client_of(deps, base_url="https://gateway") as browser:
        page = await browser.get(PAGE)

    assert "Secure" in page.headers["Set-Cookie"].split("; ")


async def test_it_shows_what_asks_and_where_before_anybody_answers(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    typed = kiosk.user_code.lower().replace("-", " ")
    form = {"csrf": await csrf_of(browser), "user_code": typed}

    page = await browser.post(PAGE, data=form)

    assert page.status_code == 200
    assert "<b>" not in page.text
    said = unescape(page.text)
    for shown in (kiosk.user_code, "Kiosk: Hall <b>1</b>", "Till/1 (Linux)", "10."):
        assert shown in said
    assert await events(deps, DeviceEnrolled) == []
    assert not await is_in(kiosk)


async def test_whoever_manages_devices_lets_it_in(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    manager = await of(deps, MANAGER)

    page = await answered(browser, kiosk.user_code, manager)

    assert page.status_code == 200
    assert 'role="status"' in page.text
    assert await is_in(kiosk)


async def test_the_manager_was_in_for_the_answer_only(deps: Deps, browser: AsyncClient) -> None:
    address = some_email()
    anna = await somebody(deps, MANAGER, email=address)
    async with client_of(deps) as client:
        device = await asking(client)
    page = await answered(browser, device.user_code, address)
    await catch_up(deps)

    assert page.status_code == 200
    opened = [e for e in await events(deps, SessionOpened) if e.account_id == anna.account_id]
    assert [one.device for one in opened] == ["device approval"]
    assert await live_sessions(deps.pool, anna.account_id, deps.identity.clock()) == []
    assert not {"access_token", "refresh_token"} & {*browser.cookies}


async def test_who_let_it_in_and_who_did_not_is_told(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    address = some_email()
    anna = await somebody(deps, MANAGER, email=address)
    async with client_of(deps) as client:
        other = await asking(client)

    await answered(browser, kiosk.user_code, address)
    await answered(browser, other.user_code, address, "refuse")

    yes = [e for e in await events(deps, DeviceEnrolled) if e.enrolled_by == anna.account_id]
    no = [e for e in await events(deps, DeviceRefused) if e.refused_by == anna.account_id]
    assert [(e.realm, e.tenant, e.client) for e in (*yes, *no)] == [
        ("kiosk", "demo", "tillstream-kiosk")
    ] * 2
    told = str([*yes, *no])
    for secret in (kiosk.user_code, kiosk.device_code, other.user_code, "Hall"):
        assert secret not in told


async def test_a_bridge_is_let_in_by_who_may_write_at_the_scales(
    deps: Deps, browser: AsyncClient
) -> None:
    async with client_of(deps) as client:
        bridge = await asking(client, BRIDGE)
        refused = await answered(browser, bridge.user_code, await of(deps, MANAGER))
        page = await answered(browser, bridge.user_code, await of(deps, WEIGHER))

        assert refused.status_code == 422
        assert page.status_code == 200
        assert (await bridge.poll()).json()["scope"] == "scales:bridge"


async def test_the_platforms_administrators_let_devices_in_anywhere(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    chief = await of(deps, CHIEF)
    async with client_of(deps) as client:
        other = await asking(client)
        house = await answered(browser, other.user_code, chief, tenant="platform")
        await answered(browser, kiosk.user_code, chief)
        await answered(browser, other.user_code, chief, tenant="shop-1")

        assert house.status_code == 422
        assert await is_in(kiosk)
        assert await is_in(other)
    assert [e.tenant for e in await events(deps, DeviceEnrolled)][-2:] == ["demo", "shop-1"]


async def test_who_manages_several_says_for_which(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    elsewhere = Role(Place(Realm.KIOSK, "shop-2"), "admin")
    manager = await of(deps, MANAGER, elsewhere)

    unsaid = await answered(browser, kiosk.user_code, manager)
    stranger = await answered(browser, kiosk.user_code, manager, password="wrong")
    said = await answered(browser, kiosk.user_code, manager, tenant="shop-2")

    assert unsaid.status_code == 422
    assert "<option>demo</option><option>shop-2</option>" in unsaid.text
    assert "shop-2" not in stranger.text
    assert said.status_code == 200
    assert await is_in(kiosk)


async def test_under_a_doors_prefix_the_page_and_its_cookie_stay_there(
    deps: Deps, browser: AsyncClient
) -> None:
    said = (
        await browser.post("/kiosk/oauth/device_authorization", data={"client_id": BRIDGE})
    ).json()
    path = urlsplit(said["verification_uri"]).path
    page = await browser.get(path)

    assert path == "/kiosk/oauth/device"
    assert page.status_code == 200
    assert f"Path={path}" in page.headers["Set-Cookie"].split("; ")
