"""Logging in by one-time codes and what is posted once, while answers are lost."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploy.demo.client import Client
from deploy.demo.dashboard import NoAnswer
from deploy.demo.shop.staff import MANAGER, Member, once
from libs.testing.polling import PATIENCE_SECONDS
from tests.deploy.demo.fake import json_server


@dataclass
class Door:
    """The shop's door in a dictionary; the answers to the first requests in `lost` are lost."""

    lost: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    codes: set[str] = field(default_factory=set)
    shop_id: int | None = None
    things: list[str] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/auth/request-otp", self.request),
            web.post("/api/auth/verify-otp", self.verify),
            web.post("/api/auth/complete-registration", self.register),
            web.get("/api/auth/current-user", self.user),
            web.post("/things", self.create),
        ]

    def _answer(self, request: web.Request, body: Any) -> Any:
        name = request.path.rpartition("/")[2]
        self.asked[name] += 1
        return (504, {}) if name in self.lost and self.asked[name] == 1 else body

    async def request(self, request: web.Request) -> Any:
        self.codes = {f"{len(self.asked):06}"}
        return self._answer(request, (201, {"otp": next(iter(self.codes))}))

    async def verify(self, request: web.Request) -> Any:
        code = (await request.json())["otp_code"]
        if code not in self.codes:
            return 400, {"detail": "OTP expired"}
        self.codes.clear()
        return self._answer(request, {"access_token": "token", "shop_id": self.shop_id})

    async def register(self, request: web.Request) -> Any:
        if self.shop_id:
            return 400, {"detail": "exists"}
        self.shop_id = 7
        return self._answer(request, (201, {"access_token": "token", "shop_id": 7}))

    async def user(self, request: web.Request) -> Any:
        known = request.headers.get("Authorization") == "Bearer token"
        return {"user": {"id": 3}} if known else (401, {})

    async def create(self, request: web.Request) -> Any:
        self.things.append((await request.json())["name"])
        return self._answer(request, (201, {}))


@pytest.mark.parametrize("lost", [set(), {"verify-otp"}, {"complete-registration"}])
async def test_a_new_shop_is_registered_once_whichever_answer_is_lost(lost: set[str]) -> None:
    door = Door(lost=lost)
    async with (
        json_server(door.routes(), lambda _: None) as url,
        aiohttp.ClientSession() as session,
    ):
        member = Member(session, url, MANAGER, patience=PATIENCE_SECONDS)
        await member.log_in()

        assert (member.shop_id, member.user_id) == (7, 3)
        assert await member.renew()


async def test_a_gateway_that_shows_no_codes_ends_the_day_with_a_message() -> None:
    async def silent(_: web.Request) -> Any:
        return 201, {"delivery_method": "telegram"}

    routes = [web.post("/api/auth/request-otp", silent)]
    async with json_server(routes, lambda _: None) as url, aiohttp.ClientSession() as session:
        with pytest.raises(NoAnswer, match="no one-time codes"):
            await Member(session, url, MANAGER, patience=PATIENCE_SECONDS).log_in()


async def test_something_is_posted_once_although_the_answer_is_lost() -> None:
    door = Door(lost={"things"})

    async def find() -> str | None:
        return next(iter(door.things), None)

    async with (
        json_server(door.routes(), lambda _: None) as url,
        aiohttp.ClientSession() as session,
    ):
        client = Client(session, url, patience=PATIENCE_SECONDS)
        assert await once(client, find, "/things", {"name": "rose"}) == "rose"
        assert await once(client, find, "/things", {"name": "rose"}) == "rose"

    assert door.things == ["rose"]
