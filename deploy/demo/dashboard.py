"""A client of the dashboards, which waits when it gets too many requests."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp

from deploy.demo.truth import Box, ScanFilter, State, read_state

STATE_PATH: Final = "/api/v1/dashboard/state"
BOXES_PATH: Final = "/api/v1/dashboard/boxes"
RAW_PATH: Final = "/api/v1/dashboard/raw"
QUARANTINE_PATH: Final = "/api/v1/quarantine"
VERIFY_PATH: Final = "/api/v1/events/verify"

ASK_SECONDS: Final = 15.0
PAUSE_SECONDS: Final = 0.5
VERIFIED_AT_ONCE: Final = 1000
PAGE: Final = 10_000
BOXES: Final = 5000


class NoAnswer(Exception):
    """The gateway did not answer or refused; the message is for people."""


class Dashboard:
    """Questions that are safe to repeat, each repeated until answered, but not for ever.

    `patience` is in seconds; a longer `Retry-After` ends it as well.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        key: str,
        *,
        patience: float,
        tell: Callable[[str], None],
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"X-API-Key": key}
        self._patience = patience
        self._tell = tell

    async def state(self, question: ScanFilter) -> State:
        """The numbers of `dashboard/state`. Raises NoAnswer."""
        return read_state(await self._ask("GET", STATE_PATH, params=question.params()))

    async def lasts(self, question: ScanFilter) -> dict[str, tuple[str, str, str]]:
        """Last client, city and box by operator. Raises NoAnswer."""
        body = await self._ask("GET", STATE_PATH, params=question.params())
        return {
            each["operator"]: (each["lastClient"], each["lastCity"], each["lastBox"])
            for each in body["operators"]
        }

    async def boxes(self, question: ScanFilter) -> dict[Box, str]:
        """`open` or `closed` of every box, of the latest day if there are several.

        Raises NoAnswer.
        """
        found: dict[Box, tuple[str, str]] = {}
        offset = 0
        while True:
            paging = {"limit": str(BOXES), "offset": str(offset), "items": "0"}
            body = await self._ask("GET", BOXES_PATH, params=question.params() | paging)
            listed = [
                (client["client"], city["city"], box)
                for client in body["clients"]
                for city in client["cities"]
                for box in city["boxes"]
            ]
            for client, city, box in listed:
                key, stands = (client, city, box["box"]), (box["day"], box["status"])
                found[key] = max(stands, found.get(key, stands))
            offset += len(listed)
            if not listed or offset >= body["totalBoxes"]:
                return {key: status for key, (_, status) in found.items()}

    async def rows(self, question: ScanFilter) -> list[dict[str, Any]]:
        """Every row of `dashboard/raw`, page by page. Raises NoAnswer."""
        found: list[dict[str, Any]] = []
        while True:
            paging = {"limit": str(PAGE), "offset": str(len(found))}
            body = await self._ask("GET", RAW_PATH, params=question.params() | paging)
            found += body["logs"]
            if not body["logs"] or len(found) >= body["total"]:
                return found

    async def total(self, question: ScanFilter, kind: str | None = None) -> int:
        """How many rows of a type match. Raises NoAnswer."""
        params = question.params() | {"limit": "1"} | ({"type": kind} if kind else {})
        return int((await self._ask("GET", RAW_PATH, params=params))["total"])

    async def quarantined(self) -> int:
        """How many events are in quarantine. Raises NoAnswer."""
        return int((await self._ask("GET", QUARANTINE_PATH, params={"limit": "1"}))["total"])

    async def present(self, uuids: Sequence[str]) -> int:
        """How many of the ids are in safe keeping. Raises NoAnswer."""
        count = 0
        for begin in range(0, len(uuids), VERIFIED_AT_ONCE):
            query = {"uuids": list(uuids[begin : begin + VERIFIED_AT_ONCE])}
            count += len((await self._ask("POST", VERIFY_PATH, json=query))["present"])
        return count

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        deadline = time.monotonic() + self._patience
        while True:
            status, headers, body, why = await self._once(method, path, request)
            if status == 200:
                return body
            pause = _pause(status, headers)
            if pause is None or time.monotonic() + pause > deadline:
                raise NoAnswer(f"{method} {self._url}{path} ended with: {why}")
            if status == 429:
                self._tell(f"Asked too often; waiting {pause:.0f} s as told.")
            await asyncio.sleep(pause)

    async def _once(
        self, method: str, path: str, request: Mapping[str, Any]
    ) -> tuple[int | None, Mapping[str, str], Any, str]:
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with self._session.request(
                method, self._url + path, headers=self._headers, timeout=timeout, **request
            ) as answer:
                if answer.status == 200:
                    return 200, answer.headers, await answer.json(), ""
                text = (await answer.text())[:200]
                return answer.status, answer.headers, None, f"{answer.status} {text}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return None, {}, None, str(error) or type(error).__name__


def _pause(status: int | None, headers: Mapping[str, str]) -> float | None:
    """How long to wait before asking again; None if that would not help."""
    if status is not None and status < 500 and status != 429:
        return None
    wait = headers.get("Retry-After", "")
    return float(wait) if wait.isdecimal() else PAUSE_SECONDS
