"""A client of the gateway that repeats its requests while the platform is not well."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from deploy.demo.dashboard import NoAnswer

ASK_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
HOPELESS: Final = frozenset({400, 401, 403, 422})
"""Statuses that another attempt would get as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A response: its status, 0 without a response, and its body or the error."""

    status: int
    body: Any
    pause: float = PAUSE_SECONDS

    @property
    def well(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300

    @property
    def why(self) -> str:
        """The status and the detail of an error."""
        detail = self.body.get("detail", "") if isinstance(self.body, Mapping) else self.body
        return f"{self.status} {detail}"[:300]


class Client:
    """Requests at one gateway. What is safe to repeat is repeated, for `patience` seconds at most;
    then NoAnswer is raised. `headers` are sent with every request."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, patience: float) -> None:
        self.session = session
        self.url = url.rstrip("/")
        self.patience = patience
        self.headers: dict[str, str] = {}

    async def renew(self) -> bool:
        """Log in again, after a 401; whether that is possible."""
        return False

    async def request(
        self, method: str, path: str, *, also: int | None = None, **request: Any
    ) -> Answer:
        """Send until it succeeds, or is answered with the status `also`. Raises NoAnswer."""
        deadline = time.monotonic() + self.patience
        while True:
            answer = await self.send_once(method, path, **request)
            if answer.well or answer.status == also:
                return answer
            hopeless = answer.status in HOPELESS
            if answer.status == 401:
                hopeless = not await self.renew()
            if hopeless or time.monotonic() + answer.pause > deadline:
                raise NoAnswer(f"{method} {self.url}{path} ended with: {answer.why}")
            await asyncio.sleep(answer.pause)

    async def send_once(self, method: str, path: str, **request: Any) -> Answer:
        """Send once; a network error is an Answer with the status 0. Does not raise for it."""
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        headers = self.headers | request.pop("headers", {})
        try:
            async with self.session.request(
                method, self.url + path, headers=headers, timeout=timeout, **request
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
