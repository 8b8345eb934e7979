"""Scans as a scanner sends them through the gateway, or to ingest directly."""

from typing import Any, Final
from uuid import uuid4

import aiohttp

BATCH: Final = "/api/v1/events/batch"
VERIFY: Final = "/api/v1/events/verify"
QUARANTINE: Final = "/api/v1/quarantine"
TOKEN: Final = "X-Consistency-Token"
DAY: Final = "2025-10-31"
TS: Final = 1_761_901_200_000
"""Noon of the day in Moscow."""


def scan(**changes: Any) -> dict[str, Any]:
    """A scan of an item, with an id of its own."""
    usual = {"uuid": str(uuid4()), "ts": TS, "type": "ITEM", "operator": "anna", "code": "4600"}
    place = {"client": "ivancov", "city": "Novosem", "box": "ivancov/8"}
    return {**usual, **place, "details": "", "source": "pwa", **changes}


async def request_json(
    client: aiohttp.ClientSession, method: str, path: str, **request: Any
) -> tuple[int, Any]:
    """The status and the JSON that came."""
    async with client.request(method, path, **request) as answer:
        return answer.status, await answer.json()


async def get(
    session: aiohttp.ClientSession, path: str, *, token: str | None = None, **query: str
) -> Any:
    """The JSON or the text of a 200 that is not stale; with a token, of after that moment."""
    headers = {TOKEN: token} if token else {}
    async with session.get(path, params=query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert "X-Stale" not in answer.headers
        if "json" in answer.headers["Content-Type"]:
            return await answer.json()
        return (await answer.read()).decode("utf-8-sig")


async def send(client: aiohttp.ClientSession, *events: Any, url: str = "") -> tuple[Any, str]:
    """The answer to a batch, and the token to read it with."""
    async with client.post(f"{url}{BATCH}", json={"events": events}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json(), answer.headers[TOKEN]
