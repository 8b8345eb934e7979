"""The scales' door as the office's client knows it: ask, and ask again while the house is ill."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from deploy.demo.dashboard import NoAnswer
from deploy.demo.fleet import PASSWORD, Scale
from deploy.local.ports import LOOPBACK

ASK_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
LISTED_SECONDS: Final = 60.0
"""How long a list may lag behind a service that was just killed."""
HEALTHY: Final = frozenset({200, 201, 204, 404, 409, 422})
TIRED: Final = frozenset({408, 429})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A status, 0 if there was none, and what came with it."""

    status: int
    body: Any
    pause: float = PAUSE_SECONDS

    @property
    def well(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    @property
    def why(self) -> str:
        """What is wrong, for people."""
        detail = self.body.get("detail", "") if isinstance(self.body, Mapping) else self.body
        return f"{self.status} {detail}"[:300]


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Who the office is."""

    email: str
    password: str


class OfficeClient:
    """One account at the scales' door. What is safe to repeat is repeated, for `patience` seconds
    at most; then NoAnswer is raised."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, account: Account, *, patience: float
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._account = account
        self._patience = patience
        self._headers: dict[str, str] = {}

    async def log_in(self) -> None:
        """Register, unless that was done on an earlier day, and log in."""
        given = {"email": self._account.email, "password": self._account.password}
        await self.insist("POST", "/auth/register", also=409, json=given)
        form = {"username": self._account.email, "password": self._account.password}
        answer = await self.insist("POST", "/auth/login", data=form)
        self._headers = {"Authorization": f"Bearer {answer.body['access_token']}"}

    async def enrol(self, scales: list[Scale]) -> dict[str, int]:
        """Have all of them registered where they are now; their numbers by name."""
        known = {one["name"]: one for one in (await self.insist("GET", "/devices")).body}
        return {scale.name: await self._enrolled(scale, known.get(scale.name)) for scale in scales}

    async def insist(
        self, method: str, path: str, *, also: int | None = None, **request: Any
    ) -> Answer:
        """Ask until it is done, or answered with the status `also`."""
        deadline = time.monotonic() + self._patience
        while True:
            answer = await self.ask(method, path, **request)
            if answer.well or answer.status == also:
                return answer
            hopeless = answer.status in {401, 403, 422}
            if hopeless or time.monotonic() + answer.pause > deadline:
                raise NoAnswer(f"{method} {self._url}{path} ended with: {answer.why}")
            await asyncio.sleep(answer.pause)

    async def ask(self, method: str, path: str, **request: Any) -> Answer:
        """Ask once. Never raises because of the network."""
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with self._session.request(
                method, self._url + path, headers=self._headers, timeout=timeout, **request
            ) as answer:
                wait = answer.headers.get("Retry-After", "")
                pause = min(float(wait), LONGEST_PAUSE_SECONDS) if wait.isdecimal() else 0.0
                spoken = answer.content_type.endswith("json")
                body = await (answer.json() if spoken else answer.text())
                # While services restart, another program may listen at their port.
                status = answer.status if spoken or not answer.ok else 0
                return Answer(status=status, body=body, pause=pause or PAUSE_SECONDS)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Answer(status=0, body=str(error) or type(error).__name__)

    async def _enrolled(self, scale: Scale, known: Mapping[str, Any] | None) -> int:
        where = {"ip": LOOPBACK, "port": scale.port}
        if known is None:
            fields = {"name": scale.name, **where, "password": PASSWORD}
            # The request may have been answered before the network failed: then it is there.
            answer = await self.insist("POST", "/devices", also=409, json=fields)
            return int(answer.body["id"]) if answer.well else await self._number(scale.name)
        if (known["ip"], known["port"]) != (LOOPBACK, scale.port):
            await self.insist("PUT", f"/devices/{known['id']}", json=where)
        return int(known["id"])

    async def _number(self, name: str) -> int:
        """The id of a device that is there, once the list shows it. Raises TimeoutError."""
        async with asyncio.timeout(LISTED_SECONDS):
            while True:
                listed = (await self.insist("GET", "/devices")).body
                if found := [int(one["id"]) for one in listed if one["name"] == name]:
                    return found[0]
                await asyncio.sleep(0.2)
