"""The shop's clients in front of a gateway with a bot: phones, codes, init data, tokens, staff."""

import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from httpx import AsyncClient, Response

from contracts.gateway import AccountId, LoginRefused
from libs.testing.polling import eventually
from services.gateway.accounts.domain import person as people
from services.gateway.accounts.domain.realm import Role
from services.gateway.accounts.domain.shop import workspace_of_shop
from services.gateway.accounts.handlers.address import find
from services.gateway.administration.handlers.account import open_account
from services.gateway.context import Deps
from services.gateway.telegram.domain.init_data import sign
from tests.services.gateway import harness
from tests.services.gateway.bot_api import TOKEN, BotApi, open_bot_api
from tests.services.gateway.code_context import BOT_NAME, some_phone
from tests.services.gateway.harness import bearer, client_of, gateway_on

AUTH: Final = "/api/auth"
USERS: Final = "/api/users"
AUTH_TOKEN: Final = {
    *("access_token", "token_type", "shop_id", "shop_name", "user_role", "user_name"),
    *("is_new_user", "needs_phone"),
}
_numbers = itertools.count(1000)


@dataclass
class Someone:
    """A person with a phone and a Telegram account; `headers` contain their token."""

    phone: str = field(default_factory=some_phone)
    telegram_id: int = field(default_factory=lambda: next(_numbers))
    headers: dict[str, str] = field(default_factory=dict)

    def init_data(self, *, age: int = 0, token: str = TOKEN) -> str:
        """What their Telegram signs when they open the Mini App; each time another."""
        fields = {
            "auth_date": str(int(time.time()) - age),
            "query_id": str(next(_numbers)),
            "user": f'{{"id":{self.telegram_id},"first_name":"Анна"}}',
        }
        return urlencode(fields | {"hash": sign(fields, token)})


@dataclass
class Door:
    """A gateway, its bot, and a client of it at an address of its own."""

    deps: Deps
    api: BotApi
    client: AsyncClient

    async def link(self, who: Someone) -> None:
        """They started the bot and shared their own contact."""
        context = self.deps.code_context
        self.api.chats.add(who.telegram_id)
        await context.links.take(
            next(_numbers), now=context.clock(), phone=who.phone, telegram_id=who.telegram_id
        )

    async def linked(self) -> Someone:
        """A new person who shared their contact."""
        await self.link(made := Someone())
        return made

    async def registered(self, name: str = "Розы") -> tuple[Someone, Any]:
        """A new person with a shop, and the answer to the registration."""
        made = Someone()
        return made, await self.register(made, name)

    async def code(self, who: Someone) -> str:
        """Ask for a code and read it in Telegram."""
        answer = await self.post("request-otp", {"phone": who.phone})
        assert answer.json()["delivery_method"] == "telegram"
        return self.code_sent_to(who)

    def code_sent_to(self, who: Someone) -> str:
        (code,) = re.findall(r"\b\d{6}\b", self.api.last_to(who.telegram_id)["text"])
        return str(code)

    async def show(self, who: Someone, code: str) -> Response:
        return await self.post("verify-otp", {"phone": who.phone, "otp_code": code})

    async def log_in(self, who: Someone) -> Any:
        answer = await self.show(who, await self.code(who))
        assert answer.status_code == 200, answer.text
        who.headers = bearer(answer.json()["access_token"])
        return answer.json()

    async def register(self, who: Someone, name: str = "Розы") -> Any:
        """Log in for the first time and open a shop; the answer."""
        await self.link(who)
        await self.log_in(who)
        answer = await self.complete(who, name=name)
        assert answer.status_code == 201, answer.text
        who.headers = bearer(answer.json()["access_token"])
        return answer.json()

    async def complete(self, who: Someone, **body: str) -> Response:
        """Register a shop with the token they have."""
        return await self.post("complete-registration", body, headers=who.headers)

    async def post(self, path: str, body: object = None, **more: Any) -> Response:
        """Post JSON to one of the login's routes."""
        return await self.client.post(f"{AUTH}/{path}", json=body, **more)

    async def who_is(self, who: Someone) -> Response:
        """Ask as the page does whenever it is loaded."""
        return await self.client.get(f"{AUTH}/current-user", headers=who.headers)

    async def refusals(self) -> list[LoginRefused]:
        """All that were recorded, oldest first."""
        return await harness.events(self.deps, LoginRefused)

    async def account_of(self, who: Someone) -> AccountId:
        found = await find(self.deps.identity, people.phone(who.phone))
        assert found is not None
        return found

    async def open_account_of(self, who: Someone, role: Role, name: str = "Белла") -> AccountId:
        """An account of the person with a role, opened outside of the shop."""
        person = people.Person(phone=who.phone, name=name)
        made = await open_account(
            self.deps.identity, person, password=None, roles=[role], actor="test"
        )
        return made.account_id

    async def works_at(self, shop_id: int, role: str = "florist") -> Someone:
        """A member of a shop who has shared their contact."""
        bella = await self.linked()
        await self.open_account_of(bella, Role(workspace_of_shop(f"shop-{shop_id}"), role))
        return bella

    async def staff(self, boss: Someone, method: str, path: str = "/", **more: Any) -> Response:
        return await self.client.request(method, f"{USERS}{path}", headers=boss.headers, **more)

    async def staff_by_phone(self, boss: Someone, **query: Any) -> dict[str, Any]:
        """The list of staff by phone."""
        answer = await self.staff(boss, "GET", params=query)
        assert answer.status_code == 200, answer.text
        return {one["phone"]: one for one in answer.json()["items"]}

    async def admin(self) -> Someone:
        """The admin of a shop of her own, whom the lists show."""
        made, _ = await self.registered()
        await self.known(made)
        return made

    async def known(self, who: Someone) -> None:
        """Wait until the read model has the member."""

        async def is_listed() -> bool:
            return who.phone in await self.staff_by_phone(who)

        await eventually(is_listed, what="somebody in the list of the staff")

    async def hire(self, boss: Someone, role: str = "florist", **more: Any) -> Response:
        body = {"phone": some_phone(), "name": "Белла", "role": role, **more}
        return await self.staff(boss, "POST", json=body)

    async def hired(self, boss: Someone, role: str = "florist") -> tuple[Someone, int]:
        """A hired member who is logged in, and their number."""
        bella = await self.linked()
        answer = await self.hire(boss, role, phone=bella.phone)
        await self.log_in(bella)
        return bella, answer.json()["id"]

    async def change(self, boss: Someone, number: int, body: object, what: str = "") -> Response:
        return await self.staff(boss, "PATCH", f"/{number}{what}", json=body)

    async def number_of(self, who: Someone) -> int:
        return int((await self.who_is(who)).json()["user"]["id"])


def with_bot(api: BotApi, **different: Any) -> dict[str, Any]:
    """Settings of a gateway with a bot, in production by default."""
    bot = {"telegram_url": api.url, "telegram_token": TOKEN, "telegram_bot": BOT_NAME}
    return {"profile": "production", **bot, **different}


@asynccontextmanager
async def open_door(url: str, api: BotApi, **different: Any) -> AsyncIterator[Door]:
    """A gateway on the database at `url`, in production by default."""
    async with (
        gateway_on(url, **with_bot(api, **different)) as deps,
        client_of(deps) as client,
    ):
        yield Door(deps, api, client)


@asynccontextmanager
async def projecting(url: str) -> AsyncIterator[Door]:
    """A gateway with its projectors at work."""
    async with (
        open_bot_api() as api,
        open_door(url, api, stale_wait_seconds=harness.MOST_STALE_SECONDS) as made,
        harness.projecting(made.deps),
    ):
        yield made
