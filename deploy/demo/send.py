"""The gateway as the devices see it: post a batch, or post it and hang up."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
from yarl import URL

from deploy.demo.device import TIMEOUT_SECONDS, Answer
from deploy.demo.mischief import Event

BATCH_PATH: Final = "/api/v1/events/batch"
TEXT_KEPT: Final = 300

LOST: Final = Answer(text="the answer was lost")


class Gateway:
    """One key at one address. Nothing here raises because of the network."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._session = session
        self._url = URL(url.rstrip("/") + BATCH_PATH)
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}

    async def post(self, events: Iterable[Event]) -> Answer:
        """Send a batch and wait at most ten seconds for the answer."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with self._session.post(
                self._url, data=_body(events), headers=self._headers, timeout=timeout
            ) as answer:
                return _answer(answer.status, await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Answer(text=_why(error))

    async def post_and_hang_up(self, events: Iterable[Event]) -> Answer:
        """Send a batch and close the connection at once, whatever becomes of it."""
        await send_and_hang_up(self._url, self._headers, _body(events))
        return LOST


async def send_and_hang_up(url: URL, headers: Mapping[str, str], body: bytes) -> None:
    """Post a body and close the connection at once. Never raises because of the network."""
    lines = [f"POST {url.raw_path} HTTP/1.1", f"Host: {url.authority}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(
                url.host, url.port, ssl=url.scheme == "https" or None
            )
            try:
                writer.write("\r\n".join(lines).encode() + body)
                await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()


def _body(events: Iterable[Event]) -> bytes:
    # In ASCII, because half characters cannot be written otherwise.
    return json.dumps({"events": list(events)}).encode()


def _answer(status: int, content: bytes) -> Answer:
    text = content.decode(errors="replace")[:TEXT_KEPT]
    body: Any = None
    with suppress(ValueError):
        body = json.loads(content)
    fields = body if isinstance(body, Mapping) else {}
    return Answer(status=status, body=fields, text="" if status < 400 else f"{status} {text}")


def _why(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorError():
            return "nobody listens"
        case _:
            return f"connection lost ({type(error).__name__})"
