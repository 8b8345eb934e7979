"""A device let in through a running gateway: as its program and a browser speak to it."""

import re

import aiohttp

from services.gateway import bootstrap
from tests.services.gateway.api.device import CSRF, DEVICE_GRANT, KIOSK, PAGE, TOKEN
from tests.services.gateway.api.inside import MANAGER, PASSWORD, gateway_on, some_email, somebody
from tests.services.gateway.test_bootstrap import served


async def test_a_kiosk_is_let_in_and_stays_in(database: str) -> None:
    async with (
        gateway_on(database) as deps,
        served(bootstrap.create_app(deps)) as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        aiohttp.ClientSession() as kiosk,
    ):
        manager = some_email()
        await somebody(deps, MANAGER, email=manager)
        async with kiosk.get(f"{url}/.well-known/oauth-authorization-server") as answer:
            found = await answer.json()
        assert found["issuer"] == url
        async with kiosk.post(
            found["device_authorization_endpoint"], data={"client_id": KIOSK}
        ) as answer:
            asked = await answer.json()
        poll = {
            "client_id": KIOSK,
            "grant_type": DEVICE_GRANT,
            "device_code": asked["device_code"],
        }
        async with kiosk.post(found["token_endpoint"], data=poll) as answer:
            assert (answer.status, await answer.json()) == (400, {"error": "authorization_pending"})

        async with browser.get(asked["verification_uri_complete"]) as answer:
            html = await answer.text()
        code = re.search(r'name="user_code" value="([A-Z-]{9})"', html)
        csrf = CSRF.search(html)
        assert code is not None
        assert csrf is not None
        form = {"csrf": csrf[1], "user_code": code[1]}
        headers = {"Origin": url}
        async with browser.post(f"{url}{PAGE}", data=form, headers=headers) as answer:
            assert answer.status == 200
        form |= {"email": manager, "password": PASSWORD, "answer": "allow"}
        async with browser.post(f"{url}{PAGE}", data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

        async with kiosk.post(found["token_endpoint"], data=poll) as answer:
            pair = await answer.json()
            assert answer.status == 200
        refresh = {
            "client_id": KIOSK,
            "grant_type": "refresh_token",
            "refresh_token": pair["refresh_token"],
        }
        async with kiosk.post(f"{url}{TOKEN}", data=refresh) as answer:
            assert answer.status == 200
            assert (await answer.json())["refresh_token"] != pair["refresh_token"]
