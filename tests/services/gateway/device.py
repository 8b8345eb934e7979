"""A device that asks for approval, and an approver in front of the page."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

from httpx import AsyncClient, Response

from services.gateway.context import Deps
from tests.services.gateway.harness import PASSWORD

ASK, TOKEN, PAGE = "/oauth/device_authorization", "/oauth/token", "/oauth/device"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
KIOSK, BRIDGE = "tillstream-kiosk", "tillstream-bridge"
CSRF: Final = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass(frozen=True)
class Device:
    """A device with the codes it was given."""

    client: AsyncClient
    client_id: str
    device_code: str
    user_code: str

    async def poll(self, **different: str) -> Response:
        """Ask whether it may come in."""
        form = {"grant_type": DEVICE_GRANT, "device_code": self.device_code}
        return await self.client.post(TOKEN, data={"client_id": self.client_id} | form | different)

    async def refresh(self, token: str, **different: str) -> Response:
        form = {"grant_type": "refresh_token", "client_id": self.client_id, "refresh_token": token}
        return await self.client.post(TOKEN, data=form | different)


LetIn: TypeAlias = Callable[..., Awaitable[Device]]


async def request_codes(client: AsyncClient, client_id: str = KIOSK, **more: str) -> Device:
    answer = await client.post(ASK, data={"client_id": client_id} | more)
    assert answer.status_code == 200, answer.text
    given = answer.json()
    return Device(client, client_id, given["device_code"], given["user_code"])


async def csrf_of(browser: AsyncClient) -> str:
    """What the page carries; the browser has its cookie from then on."""
    found = CSRF.search((await browser.get(PAGE)).text)
    assert found is not None
    return found[1]


async def answered(
    browser: AsyncClient, user_code: str, email: str, answer: str = "allow", **more: Any
) -> Response:
    """Type the code, log in, answer."""
    form = {"csrf": await csrf_of(browser), "user_code": user_code, "email": email}
    return await browser.post(PAGE, data=form | {"password": PASSWORD, "answer": answer} | more)


def error_of(answer: Any) -> tuple[int, str]:
    """An error as RFC 6749 §5.2 wants it."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"error"}
    return answer.status_code, answer.json()["error"]


async def later(deps: Deps, device_code: str, by: timedelta) -> None:
    """Let time go by for a grant."""
    await deps.system.execute(
        """UPDATE device_grant SET polled_at = polled_at - $2::interval,
            expires_at = expires_at - $2::interval WHERE device = $1""",
        deps.identity.seal.digest("device code", device_code),
        by,
    )


async def is_in(device: Device) -> bool:
    return (await device.poll()).status_code == 200
