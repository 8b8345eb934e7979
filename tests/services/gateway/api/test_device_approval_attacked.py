"""The approval page in the hands of those who would like to misuse it."""

import re

import pytest
from httpx import AsyncClient

from contracts.gateway import LoginRefused
from services.gateway.deps import Deps
from services.gateway.domain.realm import Place, Realm, Role
from services.gateway.handlers.device_grant import MOST_WRONG
from tests.services.gateway.api.device import (
    PAGE,
    Device,
    answered,
    csrf_of,
    is_in,
    of,
)
from tests.services.gateway.api.inside import (
    KIOSKS,
    MANAGER,
    STAFF,
    WEIGHER,
    client_of,
    events,
    some_email,
    somebody,
)


@pytest.mark.parametrize(
    "role",
    [STAFF, WEIGHER, Role(Place(Realm.CRM, "demo"), "ADMIN"), Role(KIOSKS, "kiosk")],
    ids=lambda role: f"{role.place.realm} {role.name}",
)
async def test_whoever_may_not_manage_kiosks_hears_the_same_as_a_stranger(
    deps: Deps, browser: AsyncClient, kiosk: Device, role: Role
) -> None:
    member = await of(deps, role)
    manager = await of(deps, MANAGER)

    pages = [
        await answered(browser, kiosk.user_code, member),
        await answered(browser, kiosk.user_code, some_email()),
        await answered(browser, kiosk.user_code, "no address"),
        await answered(browser, kiosk.user_code, manager, password="wrong"),
        await answered(browser, kiosk.user_code, manager, tenant="other"),
        await answered(browser, kiosk.user_code, manager, tenant="' OR 1=1"),
    ]

    assert {page.status_code for page in pages} == {422}
    alerts = {re.search(r'role="alert">([^<]+)<', page.text)[1] for page in pages}  # type: ignore[index]
    assert len(alerts) == 1
    assert not await is_in(kiosk)


async def test_a_refused_answer_is_told_like_any_refused_login(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    address = some_email()
    anna = await somebody(deps, STAFF, email=address)

    await answered(browser, kiosk.user_code, address)

    told = [e for e in await events(deps, LoginRefused) if e.account_id == anna.account_id]
    assert [(e.realm, e.reason) for e in told] == [("kiosk", "role")]


async def test_a_code_is_answered_once(deps: Deps, browser: AsyncClient, kiosk: Device) -> None:
    manager = await of(deps, MANAGER)

    first = await answered(browser, kiosk.user_code, manager, "refuse")
    second = await answered(browser, kiosk.user_code, manager)

    assert (first.status_code, second.status_code) == (200, 422)
    assert not await is_in(kiosk)


async def test_user_codes_cannot_be_tried_one_after_the_other(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    csrf = await csrf_of(browser)

    tried = [
        await browser.post(PAGE, data={"csrf": csrf, "user_code": f"BCDFGHJ{letter}"})
        for letter in "KLMNPQRSTVWX"
    ]
    right = await browser.post(PAGE, data={"csrf": csrf, "user_code": kiosk.user_code})
    async with client_of(deps) as elsewhere:
        form = {"csrf": await csrf_of(elsewhere), "user_code": kiosk.user_code}
        others = await elsewhere.post(PAGE, data=form)

    assert [page.status_code for page in tried[:MOST_WRONG]] == [422] * MOST_WRONG
    assert {page.status_code for page in (*tried[MOST_WRONG:], right)} == {429}
    assert int(right.headers["Retry-After"]) >= 1
    assert kiosk.user_code not in right.text
    assert others.status_code == 200
    told = [e for e in await events(deps, LoginRefused) if e.reason == "user code"]
    assert len(told) >= 1


async def test_right_codes_cost_no_tries(deps: Deps, browser: AsyncClient, kiosk: Device) -> None:
    csrf = await csrf_of(browser)

    for _ in range(MOST_WRONG + 2):
        page = await browser.post(PAGE, data={"csrf": csrf, "user_code": kiosk.user_code})
        assert page.status_code == 200


async def test_passwords_cannot_be_tried_on_the_page(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    manager = await of(deps, MANAGER)

    tried = [
        await answered(browser, kiosk.user_code, manager, password=f"guess {n}") for n in range(11)
    ]

    assert tried[0].status_code == 422
    assert tried[-1].status_code == 429
    assert "Retry-After" in tried[-1].headers


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"csrf": None}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": "0" * 64}, {}),
        ({}, {"Cookie": ""}),
        ({}, {"Cookie": "tillstream_page=" + "x" * 43}),
        ({}, {"Cookie": "tillstream_page=short"}),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ],
)
async def test_a_form_of_another_page_lets_nothing_in(
    deps: Deps,
    browser: AsyncClient,
    kiosk: Device,
    fields: dict[str, str | None],
    headers: dict[str, str],
) -> None:
    manager = await of(deps, MANAGER)
    form = {
        "csrf": await csrf_of(browser),
        "user_code": kiosk.user_code,
        "email": manager,
        "password": "correct horse battery",
        "answer": "allow",
    }
    changed = {name: value for name, value in (form | fields).items() if value is not None}
    if "Cookie" in headers:
        browser.cookies.clear()

    page = await browser.post(PAGE, data=changed, headers=headers)

    assert page.status_code == 403
    assert not await is_in(kiosk)


async def test_the_page_of_one_browser_is_worth_nothing_in_another(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    async with client_of(deps) as attacker:
        stolen = await csrf_of(attacker)
    await csrf_of(browser)

    page = await answered(browser, kiosk.user_code, await of(deps, MANAGER), csrf=stolen)

    assert page.status_code == 403
    assert not await is_in(kiosk)


async def test_a_browser_that_says_where_it_comes_from_is_let_through(
    deps: Deps, browser: AsyncClient, kiosk: Device
) -> None:
    browser.headers.update({"Origin": "http://gateway", "Sec-Fetch-Site": "same-origin"})

    page = await answered(browser, kiosk.user_code, await of(deps, MANAGER))

    assert page.status_code == 200


@pytest.mark.parametrize("answer", ["", "yes", "ALLOW"])
async def test_what_is_no_answer_answers_nothing(
    deps: Deps, browser: AsyncClient, kiosk: Device, answer: str
) -> None:
    page = await answered(browser, kiosk.user_code, await of(deps, MANAGER), answer)

    assert page.status_code == 200
    assert "correct horse" not in page.text
    assert not await is_in(kiosk)
