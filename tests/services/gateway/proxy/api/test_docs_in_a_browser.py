"""The documentation in a browser: pages that render, and requests behind each door's login."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from playwright.async_api import Locator, Page, expect

from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from tests.services.gateway.app import KEY, Keys, Service, open_app
from tests.services.gateway.browser import Watch, open_page
from tests.services.gateway.harness import PASSWORD, Harness
from tests.services.gateway.proxy.api.test_docs import PUBLISHED, STATE
from tests.services.gateway.test_bootstrap import served

LOGO = "cdn.redoc.ly"
"""ReDoc asks for its maker's logo there, which the policy of the page forbids."""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with open_page() as opened:
        yield opened


@pytest.fixture
async def address(service: Service, keys: Keys) -> AsyncIterator[str]:
    """The URL of a gateway in front of a service that publishes two operations."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(PUBLISHED if "openapi" in request.path else {"boxes": 7})

    service.answer = answer
    async with open_app(service, keys) as app, served(app) as url:
        yield url


@pytest.fixture
async def demo_address(demo: Harness) -> AsyncIterator[str]:
    """The URL of a gateway with accounts."""
    async with served(demo.app) as url:
        yield url


@pytest.mark.parametrize("door", ["scan", "scales", "crm", "shop", "kiosk"])
async def test_the_pages_of_a_door_render_from_its_own_files(
    page: Page, address: str, door: str
) -> None:
    watch = Watch(page)

    await page.goto(f"{address}/docs")
    await page.click(f'a[href="/{door}/docs"]')
    await expect(page.locator(".info .title")).to_contain_text(f"Tillstream: {door}")
    await expect(page.locator(".opblock").first).to_be_visible()
    await page.goto(f"{address}/{door}/redoc")
    await expect(page.locator("h1").first).to_contain_text(f"Tillstream: {door}")
    await expect(page.locator("text=Revoke a key for good").first).to_be_attached()

    assert {one for one in watch.complaints if LOGO not in one} == set()
    assert watch.hosts == {address.partition("://")[2]}


async def test_a_request_is_sent_with_an_api_key(page: Page, address: str) -> None:
    await page.goto(f"{address}/scan/docs")
    await authorize(page, "ApiKey", {"api_key_value": KEY})

    answer = await try_out(page, "get", STATE)

    await expect(answer).to_contain_text('"boxes": 7')


@pytest.mark.parametrize(
    ("realm", "path"), [(Realm.CRM, "/api/v1/users/me"), (Realm.SCALES, "/api/v1/sessions")]
)
async def test_a_request_is_sent_after_a_login_by_password(
    page: Page, demo: Harness, demo_address: str, realm: Realm, path: str
) -> None:
    role = {Realm.CRM: "ENGINEER", Realm.SCALES: "user"}[realm]
    email = await demo.email_of(Role(Workspace(realm, "demo"), role))
    await page.goto(f"{demo_address}/{realm}/docs")
    await authorize(page, "Login", {"oauth_username": email, "oauth_password": PASSWORD})
    await demo.catch_up()

    answer = await try_out(page, "get", path)

    await expect(answer).to_contain_text("Chrome" if realm == Realm.SCALES else email)


async def test_a_request_is_sent_with_the_token_of_a_login(
    page: Page, demo: Harness, demo_address: str
) -> None:
    clerk = await demo.account(Realm.KIOSK, "staff")
    await page.goto(f"{demo_address}/kiosk/docs")
    body = f'{{"username": "{clerk.person.username}", "password": "{PASSWORD}"}}'
    login = await try_out(page, "post", "/api/v1/auth/login", body)
    await expect(login).to_contain_text("access_token")
    token = (await login.inner_text()).partition('"access_token": "')[2].partition('"')[0]

    await authorize(page, "AccessToken", {"auth-bearer-value": token})
    answer = await try_out(page, "get", "/api/v1/auth/me")
    # The browser sends the cookie of the login.
    refreshed = await try_out(page, "post", "/api/v1/auth/refresh")

    await expect(answer).to_contain_text(str(clerk.person.username))
    await expect(refreshed).to_contain_text("access_token")


async def authorize(page: Page, scheme: str, fields: dict[str, str]) -> None:
    """Fill in the credentials of a security scheme; `fields` are texts by the id of the input."""
    await page.click("button.authorize")
    form = page.locator(".auth-container", has=page.locator(f'h4:has-text("{scheme} ")'))
    for name, text in fields.items():
        await form.locator(f"#{name}").fill(text)
    await form.locator("button.authorize").click()
    await expect(form.locator("text=Logout")).to_be_visible()
    await page.click(".close-modal")


async def try_out(page: Page, method: str, path: str, body: str | None = None) -> Locator:
    """Execute an operation. Returns the body of its answer."""
    block = page.locator(f".opblock-{method}", has=page.locator(f'[data-path="{path}"]'))
    await block.locator(".opblock-summary-control").click()
    await block.locator(".try-out__btn").click()
    if body is not None:
        await block.locator("textarea.body-param__text").fill(body)
    await block.locator("button.execute").click()
    answer = block.locator(".live-responses-table .response").first
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    return answer.locator(".response-col_description")
