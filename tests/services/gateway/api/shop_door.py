"""The shop's clients in front of a gateway with a bot: phones, codes, init data, tokens."""

import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from httpx import ASGITransport, AsyncClient, Response

from contracts.gateway import LoginRefused
from libs.eventsourcing.store import envelope
from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.gateway.domain.telegram_init_data import sign
from tests.services.gateway.adapters.bot_api import TOKEN, BotApi
from tests.services.gateway.code_desk import BOT_NAME, some_address, some_phone
from tests.services.gateway.conftest import gateway_settings

AUTH: Final = "/api/auth"
AUTH_TOKEN: Final = {
    "access_token",
    "token_type",
    "shop_id",
    "shop_name",
    "user_role",
    "user_name",
    "is_new_user",
    "needs_phone",
}
_numbers = itertools.count(1000)


@dataclass
class Someone:
    """Somebody with a phone and a Telegram account; `headers` are those of the token they have."""

    phone: str = field(default_factory=some_phone)
    telegram_id: int = field(default_factory=lambda: next(_numbers))
    headers: dict[str, str] = field(default_factory=dict)

    def init_data(self, *, age: int = 0, token: str = TOKEN) -> str:
        """What their Telegram signs when they open the Mini App; each time another."""
        said = {
            "auth_date": str(int(time.time()) - age),
            "query_id": str(next(_numbers)),
            "user": f'{{"id":{self.telegram_id},"first_name":"Анна"}}',
        }
        return urlencode(said | {"hash": sign(said, token)})


@dataclass
class Door:
    """A gateway, its bot, and a client of it at an address of its own."""

    deps: Deps
    api: BotApi
    client: AsyncClient

    async def link(self, who: Someone) -> None:
        """They started the bot and shared their own contact."""
        desk = self.deps.code_desk
        self.api.chats.add(who.telegram_id)
        await desk.links.take(
            next(_numbers), now=desk.clock(), phone=who.phone, telegram_id=who.telegram_id
        )

    async def code(self, who: Someone) -> str:
        """Ask for a code and read it in Telegram."""
        asked = await self.client.post(f"{AUTH}/request-otp", json={"phone": who.phone})
        assert asked.json()["delivery_method"] == "telegram"
        (code,) = re.findall(r"\d{6}", self.api.last_to(who.telegram_id)["text"])
        return str(code)

    async def show(self, who: Someone, code: str) -> Response:
        """Show a code."""
        body = {"phone": who.phone, "otp_code": code}
        return await self.client.post(f"{AUTH}/verify-otp", json=body)

    async def log_in(self, who: Someone) -> dict[str, Any]:
        """Log in by a code; the answer."""
        answer = await self.show(who, await self.code(who))
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        who.headers = bearer(told)
        return told

    async def register(self, who: Someone, name: str = "Розы") -> dict[str, Any]:
        """Log in for the first time and open a shop; the answer."""
        await self.link(who)
        await self.log_in(who)
        answer = await self.client.post(
            f"{AUTH}/complete-registration", json={"name": name}, headers=who.headers
        )
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        who.headers = bearer(told)
        return told

    async def post(self, path: str, body: object = None, **more: Any) -> Response:
        """Post JSON to one of the login's routes."""
        return await self.client.post(f"{AUTH}/{path}", json=body, **more)

    async def who_is(self, who: Someone) -> Response:
        """Ask as the page does whenever it is loaded."""
        return await self.client.get(f"{AUTH}/current-user", headers=who.headers)

    async def refusals(self) -> list[LoginRefused]:
        """All that were recorded, oldest first."""
        store = self.deps.store
        pages = [page async for page in store.log.read_all()]
        events = [envelope(one, store.decode(one)).event for page in pages for one in page]
        return [event for event in events if isinstance(event, LoginRefused)]


def bearer(told: dict[str, Any]) -> dict[str, str]:
    """The headers that a client sends from now on."""
    return {"Authorization": f"Bearer {told['access_token']}"}


@asynccontextmanager
async def opened(url: str, api: BotApi, **different: Any) -> AsyncIterator[Door]:
    """A gateway on the database at `url`, in production unless said otherwise."""
    told = {"telegram_url": api.url, "telegram_token": TOKEN, "telegram_bot": BOT_NAME}
    given = {"database_url": url, "profile": "production", **told, **different}
    settings = gateway_settings("http://127.0.0.1:1", **given)
    async with (
        bootstrap.open_deps(settings) as deps,
        client_of(deps) as client,
    ):
        yield Door(deps, api, client)


@asynccontextmanager
async def client_of(deps: Deps) -> AsyncIterator[AsyncClient]:
    """A client at an address nobody else has."""
    transport = ASGITransport(bootstrap.create_app(deps), client=(some_address(), 5555))
    async with AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
