"""Ways in and out through a running gateway: of the crm, the kiosks, a shop and a device."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.gateway.domain.realm import Realm
from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.device import CSRF, DEVICE_GRANT, KIOSK, PAGE, TOKEN
from tests.services.gateway.api.inside import (
    MANAGER,
    MOST_STALE_SECONDS,
    PASSWORD,
    House,
    crm_user,
    gateway_on,
    house_on,
    kiosk_user,
    projecting,
    somebody,
)
from tests.services.gateway.api.shop_door import with_bot
from tests.services.gateway.code_desk import some_phone
from tests.services.gateway.test_bootstrap import served

ANNA = 777_001


class Browser:
    """Keeps cookies as a browser does, and carries a token when it has one."""

    def __init__(self, session: aiohttp.ClientSession, url: str, prefix: str = "") -> None:
        self.session = session
        self.url = url
        self.prefix = prefix
        self.token = ""

    async def ask(self, method: str, path: str, json: Any = None, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        asking = self.session.request(
            *(method, self.prefix + path),
            **{"json": json, "headers": headers, "allow_redirects": False, **more},
        )
        async with asking as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())


@asynccontextmanager
async def browser_of(deps: Deps, prefix: str = "") -> AsyncIterator[Browser]:
    async with (
        served(bootstrap.create_app(deps)) as url,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        yield Browser(session, url, prefix)


@asynccontextmanager
async def house_and_browser(url: str, door: str) -> AsyncIterator[tuple[House, Browser]]:
    async with (
        house_on(url, stale_wait_seconds=MOST_STALE_SECONDS) as house,
        projecting(house.deps),
        browser_of(house.deps, f"{door}/api/v1") as browser,
    ):
        yield house, browser


@pytest.mark.parametrize("door", ["", "/kiosk"])
async def test_at_the_kiosks(url: str, door: str) -> None:
    async with house_and_browser(url, door) as (_, browser):
        ask, boss, kiosk = browser.ask, kiosk_user(), kiosk_user(device_id="hall")

        assert (await ask("GET", "/setup/status"))[1]["setup_required"] is True
        assert (await ask("POST", "/setup/superadmin", boss))[0] == 200
        assert (await ask("POST", "/setup/superadmin", boss))[0] == 409
        assert (await ask("POST", "/auth/login", boss))[0] == 200
        # The cookie goes where it belongs, and the page has nothing to do with it.
        status, body = await ask("POST", "/auth/refresh")
        assert status == 200
        browser.token = body["access_token"]
        assert (await ask("POST", "/kiosk/create", kiosk))[0] == 201
        _, users = await ask("GET", "/users/?skip=0&limit=100")
        assert [user["role_name"] for user in users] == ["superadmin", "kiosk"]

        status, tokens = await ask("POST", "/kiosk/login", kiosk)
        assert (status, tokens["user"]["device_id"]) == (200, "hall")
        body = {"refresh_token": tokens["refresh_token"]}
        assert (await ask("POST", "/kiosk/refresh", body))[0] == 200
        assert (await ask("PATCH", f"/users/status/{kiosk['username']}", False))[0] == 200
        assert (await ask("POST", "/kiosk/refresh", body))[0] == 401

        assert (await ask("POST", "/auth/logout"))[0] == 200
        assert (await ask("GET", "/auth/me"))[0] == 401
        assert (await ask("POST", "/auth/refresh"))[0] == 401


@pytest.mark.parametrize("door", ["", "/crm"])
async def test_at_the_crm(url: str, door: str) -> None:
    async with house_and_browser(url, door) as (house, browser):
        admin, ask = await house.account(Realm.CRM, "ADMIN"), browser.ask
        form = {"username": str(admin.person.email), "password": PASSWORD}

        status, pair = await ask("POST", "/auth/token", data=form)
        assert status == 200
        browser.token = pair["access_token"]
        assert (await ask("GET", "/users/me"))[1]["role"] == "ADMIN"
        status, made = await ask("POST", "/users", crm_user())
        assert status == 201
        assert made in (await ask("GET", "/users"))[1]
        status, off = await ask("PATCH", f"/users/{made['id']}", {"is_active": False})
        assert (status, off["is_active"]) == (200, False)
        assert off in (await ask("GET", "/users"))[1]

        body = {"refresh_token": pair["refresh_token"]}
        status, pair = await ask("POST", "/auth/refresh", body)
        assert status == 200
        assert (await ask("POST", "/auth/logout"))[0] == 200
        assert (await ask("GET", "/users/me"))[0] == 401
        body = {"refresh_token": pair["refresh_token"]}
        assert (await ask("POST", "/auth/refresh", body))[0] == 401


def own_contact(phone: str) -> dict[str, object]:
    """What Telegram brings when somebody shares their own contact."""
    message = {
        "message_id": 1,
        "date": 1_700_000_000,
        "from": {"id": ANNA, "is_bot": False, "first_name": "Анна"},
        "chat": {"id": ANNA, "type": "private"},
        "contact": {"phone_number": phone[1:], "first_name": "Анна", "user_id": ANNA},
    }
    return {"update_id": 1, "message": message}


async def test_at_the_shop_with_a_bot_that_is_told_by_webhook(url: str) -> None:
    phone = some_phone()
    async with (
        open_bot_api() as api,
        gateway_on(url, **with_bot(api)) as deps,
        browser_of(deps) as browser,
    ):
        ask = browser.ask
        api.chats.add(ANNA)
        api.webhook = f"{browser.url}/api/telegram/webhook"
        api.secret = deps.webhook_secret or ""

        _, asked = await ask("POST", "/api/auth/request-otp", {"phone": phone})
        assert asked["delivery_method"] == "need_registration"
        assert await api.bring(own_contact(phone)) == 200

        _, asked = await ask("POST", "/api/auth/request-otp", {"phone": phone})
        assert asked["delivery_method"] == "telegram"
        (code,) = re.findall(r"\b\d{6}\b", api.last_to(ANNA)["text"])
        shown = {"phone": phone, "otp_code": code}
        status, body = await ask("POST", "/api/auth/verify-otp", shown)
        assert (status, body["is_new_user"]) == (200, True)
        browser.token = body["access_token"]
        status, body = await ask("POST", "/api/auth/complete-registration", {"name": "Розы"})
        assert (status, body["shop_name"]) == (201, "Розы")
        browser.token = body["access_token"]

        # The token says which shop, whatever the header claims.
        browser.session.headers["X-Shop-Phone"] = "+77770000000"
        for prefix in ("", "/shop"):
            status, me = await ask("GET", f"{prefix}/api/auth/current-user")
            assert (status, me["shop"]["phone"]) == (200, phone)

        assert (await ask("POST", "/api/auth/logout"))[0] == 204
        assert (await ask("GET", "/api/auth/current-user"))[0] == 401


async def test_a_kiosk_is_let_in_by_its_device_and_stays_in(url: str) -> None:
    async with (
        gateway_on(url) as deps,
        browser_of(deps) as browser,
        aiohttp.ClientSession(browser.url) as session,
    ):
        ask = Browser(session, browser.url).ask
        manager = (await somebody(deps, MANAGER)).person.email
        _, found = await ask("GET", "/.well-known/oauth-authorization-server")
        assert found["issuer"] == browser.url
        form = {"client_id": KIOSK}
        _, asked = await ask("POST", found["device_authorization_endpoint"], data=form)
        poll = form | {"grant_type": DEVICE_GRANT, "device_code": asked["device_code"]}
        pending = await ask("POST", found["token_endpoint"], data=poll)
        assert pending == (400, {"error": "authorization_pending"})

        _, html = await browser.ask("GET", asked["verification_uri_complete"])
        code = re.search(r'name="user_code" value="([A-Z-]{9})"', html)
        csrf = CSRF.search(html)
        assert code is not None
        assert csrf is not None
        answer = {"csrf": csrf[1], "user_code": code[1]}
        login = {"email": manager, "password": PASSWORD, "answer": "allow"}
        for sent in (answer, answer | login):
            status, _ = await browser.ask("POST", PAGE, data=sent, headers={"Origin": browser.url})
            assert status == 200

        status, pair = await ask("POST", found["token_endpoint"], data=poll)
        assert status == 200
        token = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
        status, fresh = await ask("POST", TOKEN, data=form | token)
        assert status == 200
        assert fresh["refresh_token"] != pair["refresh_token"]
