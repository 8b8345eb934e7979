"""A kiosk's superadmin and the crm's administrator, from set-up to logout at a running gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.gateway.domain.realm import Realm
from tests.services.gateway.api.people import (
    PASSWORD,
    a_gateway,
    opened,
    projecting,
    some_email,
    some_name,
)
from tests.services.gateway.test_bootstrap import served


class Browser:
    """Keeps cookies as a browser does, and carries a token when it has one."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.token = ""

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        asking = self.session.request(method, path, headers=headers, allow_redirects=False, **body)
        async with asking as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def a_browser(url: str) -> AsyncIterator[tuple[Deps, Browser]]:
    async with (
        a_gateway(url, stale_wait_seconds=20) as deps,
        projecting(deps),
        served(bootstrap.create_app(deps)) as gateway,
        aiohttp.ClientSession(gateway, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        yield deps, Browser(session)


@pytest.mark.parametrize("door", ["", "/kiosk"])
async def test_at_the_kiosks(url: str, door: str) -> None:
    async with a_browser(url) as (_, browser):
        boss = {"username": some_name(), "password": PASSWORD}
        kiosk = {"username": some_name(), "password": PASSWORD, "device_id": "hall"}

        async def ask(method: str, path: str, **body: Any) -> tuple[int, Any]:
            return await browser.ask(method, f"{door}/api/v1{path}", **body)

        assert (await ask("GET", "/setup/status"))[1]["setup_required"] is True
        assert (await ask("POST", "/setup/superadmin", json=boss))[0] == 200
        assert (await ask("POST", "/setup/superadmin", json=boss))[0] == 409
        status, told = await ask("POST", "/auth/login", json=boss)
        assert status == 200
        # The cookie goes where it belongs, and the page has nothing to do with it.
        status, told = await ask("POST", "/auth/refresh")
        assert status == 200
        browser.token = told["access_token"]
        assert (await ask("POST", "/kiosk/create", json=kiosk))[0] == 201
        status, users = await ask("GET", "/users/?skip=0&limit=100")
        assert [user["role_name"] for user in users] == ["superadmin", "kiosk"]

        status, tokens = await ask("POST", "/kiosk/login", json=kiosk)
        assert (status, tokens["user"]["device_id"]) == (200, "hall")
        body = {"refresh_token": tokens["refresh_token"]}
        assert (await ask("POST", "/kiosk/refresh", json=body))[0] == 200
        name = f"/users/status/{kiosk['username']}"
        assert (await ask("PATCH", name, json=False))[0] == 200
        assert (await ask("POST", "/kiosk/refresh", json=body))[0] == 401

        assert (await ask("POST", "/auth/logout"))[0] == 200
        assert (await ask("GET", "/auth/me"))[0] == 401
        assert (await ask("POST", "/auth/refresh"))[0] == 401


@pytest.mark.parametrize("door", ["", "/crm"])
async def test_at_the_crm(url: str, door: str) -> None:
    async with a_browser(url) as (deps, browser):
        admin = await opened(deps, Realm.CRM, "ADMIN")
        form = {"username": str(admin.person.email), "password": PASSWORD}
        engineer = {
            "email": some_email(),
            "password": PASSWORD,
            "full_name": "Пётр Кузнецов",
            "role": "ENGINEER",
        }

        async def ask(method: str, path: str, **body: Any) -> tuple[int, Any]:
            return await browser.ask(method, f"{door}/api/v1{path}", **body)

        status, pair = await ask("POST", "/auth/token", data=form)
        assert status == 200
        browser.token = pair["access_token"]
        assert (await ask("GET", "/users/me"))[1]["role"] == "ADMIN"
        status, made = await ask("POST", "/users", json=engineer)
        assert status == 201
        assert made in (await ask("GET", "/users"))[1]
        status, off = await ask("PATCH", f"/users/{made['id']}", json={"is_active": False})
        assert (status, off["is_active"]) == (200, False)
        assert off in (await ask("GET", "/users"))[1]

        body = {"refresh_token": pair["refresh_token"]}
        status, pair = await ask("POST", "/auth/refresh", json=body)
        assert status == 200
        assert (await ask("POST", "/auth/logout"))[0] == 200
        assert (await ask("GET", "/users/me"))[0] == 401
        body = {"refresh_token": pair["refresh_token"]}
        assert (await ask("POST", "/auth/refresh", json=body))[0] == 401
