"""The scales' door as the office's client knows it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from deploy.demo.client import Client
from deploy.demo.fleet import PASSWORD, Scale
from deploy.local.ports import LOOPBACK

LISTED_SECONDS: Final = 60.0
"""How long a list may lag behind a service that was just killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Who the office is."""

    email: str
    password: str


class OfficeClient(Client):
    """One account at the scales' door."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, account: Account, *, patience: float
    ) -> None:
        super().__init__(session, url, patience=patience)
        self._account = account

    async def log_in(self) -> None:
        """Register, unless that was done on an earlier day, and log in."""
        given = {"email": self._account.email, "password": self._account.password}
        await self.request("POST", "/auth/register", also=409, json=given)
        form = {"username": self._account.email, "password": self._account.password}
        answer = await self.request("POST", "/auth/login", data=form)
        self.headers = {"Authorization": f"Bearer {answer.body['access_token']}"}

    async def enrol(self, scales: list[Scale]) -> dict[str, int]:
        """Have all of them registered where they are now; their numbers by name."""
        known = {one["name"]: one for one in (await self.request("GET", "/devices")).body}
        return {scale.name: await self._enrolled(scale, known.get(scale.name)) for scale in scales}

    async def _enrolled(self, scale: Scale, known: Mapping[str, Any] | None) -> int:
        where = {"ip": LOOPBACK, "port": scale.port}
        if known is None:
            fields = {"name": scale.name, **where, "password": PASSWORD}
            # The request may have been answered before the network failed: then it is there.
            answer = await self.request("POST", "/devices", also=409, json=fields)
            return int(answer.body["id"]) if answer.well else await self._number(scale.name)
        if (known["ip"], known["port"]) != (LOOPBACK, scale.port):
            await self.request("PUT", f"/devices/{known['id']}", json=where)
        return int(known["id"])

    async def _number(self, name: str) -> int:
        """The id of a device that is there, once the list shows it. Raises TimeoutError."""
        async with asyncio.timeout(LISTED_SECONDS):
            while True:
                listed = (await self.request("GET", "/devices")).body
                if found := [int(one["id"]) for one in listed if one["name"] == name]:
                    return found[0]
                await asyncio.sleep(0.2)
