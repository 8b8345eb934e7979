"""Streaming of a request's body within a limit of size."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from json import JSONDecoder
from typing import Any, Final, TypeAlias

from libs.http.body_timeout import BodyTooSlow
from services.gateway.doors.api import fault

Receive: TypeAlias = Callable[[], Awaitable[Any]]

MAX_BUFFERED_BYTES: Final = 64 * 1024
"""A body up to this size is forwarded in one piece, a larger one as it arrives."""
DRAIN_SECONDS: Final = 5.0
_LENIENT: Final = JSONDecoder(strict=False)
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class ClientGone(Exception):
    """The client disconnected before its body was complete."""


class BodyReader:
    """Reads the body from the server. `length` is the `Content-Length`, 0 without one."""

    def __init__(
        self, method: str, headers: Iterable[tuple[bytes, bytes]], receive: Receive
    ) -> None:
        self.length, has_body = _content_length(headers)
        self._complete = not has_body and method in BODILESS
        self._receive = receive

    def is_complete(self) -> bool:
        """Whether the whole body was read."""
        return self._complete

    async def next(self) -> bytes:
        """The next part. Raises ClientGone, TooSlow."""
        try:
            message = await self._receive()
        except BodyTooSlow:
            raise fault.TooSlow from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._complete = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def drain(self, most: int) -> None:
        """Read and discard the rest: `most` bytes at most, within DRAIN_SECONDS.

        A client that is refused while it sends would otherwise see a reset and not the answer.
        """
        if self.length > most:
            return
        # A cancelled reader stops at the next turn of the event loop.
        await asyncio.sleep(0)
        with suppress(TimeoutError, ClientGone, fault.TooSlow):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.is_complete() and most > 0:
                    most -= len(await self.next())


class Body:
    """A body that is larger than MAX_BUFFERED_BYTES.

    `failure` is why it ended early; the client of the service sees a failed connection only.
    """

    def __init__(self, first: bytes, body_reader: BodyReader, limit: int) -> None:
        self.failure: Exception | None = None
        self._first = first
        self._body_reader = body_reader
        self._limit = limit

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts as they arrive. Raises Fault if the body is too large or slow, ClientGone."""
        try:
            async for part in self._parts():
                yield part
        except (fault.Fault, ClientGone) as error:
            self.failure = error
            raise

    async def _parts(self) -> AsyncIterator[bytes]:
        size = len(self._first)
        yield self._first
        while not self._body_reader.is_complete():
            part = await self._body_reader.next()
            size += len(part)
            if size > self._limit:
                raise fault.too_large()
            if part:
                yield part


async def is_invalid_json(body_reader: BodyReader, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body claims to be JSON and is not. False for a large or slow body."""
    kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if not kind.endswith((b"/json", b"+json")) or body_reader.length > MAX_BUFFERED_BYTES:
        return False
    content = b""
    with suppress(TimeoutError, ClientGone):
        async with asyncio.timeout(DRAIN_SECONDS):
            while not body_reader.is_complete() and len(content) <= MAX_BUFFERED_BYTES:
                content += await body_reader.next()
    return bool(content) and body_reader.is_complete() and not _is_json(content)


def _is_json(text: bytes) -> bool:
    try:
        _LENIENT.decode(text.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        return False
    return True


async def read(body_reader: BodyReader, *, limit: int) -> bytes | Body | None:
    """The body: None, all of it, or a `Body` to stream. Raises Fault if too large, ClientGone."""
    if body_reader.length > limit:
        raise fault.too_large()
    if body_reader.is_complete():
        return None
    content = await body_reader.next()
    while not body_reader.is_complete() and len(content) <= MAX_BUFFERED_BYTES:
        content += await body_reader.next()
    if len(content) > limit:
        raise fault.too_large()
    return content if body_reader.is_complete() else Body(content, body_reader, limit)


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bool]:
    for name, value in headers:
        if name == b"content-length":
            # 20 digits exceed every limit; Python refuses to parse very long numbers.
            return (int(value[:20]), True) if value.isdigit() else (0, True)
        if name == b"transfer-encoding":
            return 0, True
    return 0, False
