"""Streaming of a request's body, with a limit on its size and none of it held."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from json import JSONDecoder
from typing import Any, Final, TypeAlias

from libs.http.body_timeout import BodyTooSlow
from services.gateway.doors.api import fault

Receive: TypeAlias = Callable[[], Awaitable[Any]]

HELD_AT_ONCE: Final = 64 * 1024
"""Bytes. A body up to this size goes on in one piece, a larger one as it comes."""
UNHEARD_SECONDS: Final = 5.0
_LENIENT: Final = JSONDecoder(strict=False)
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class ClientGone(Exception):
    """The client hung up before its body was complete. There is nobody to answer."""


class Intake:
    """The body as the server hands it over. `length` is as announced, 0 if it is not."""

    def __init__(
        self, method: str, headers: Iterable[tuple[bytes, bytes]], receive: Receive
    ) -> None:
        self.length, announced = _announced(headers)
        self._complete = not announced and method in BODILESS
        self._receive = receive

    def is_complete(self) -> bool:
        """Whether all of it came."""
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

    async def hear_out(self, most: int) -> None:
        """Take what is left, at most so many bytes and for some seconds, and forget it.

        A client that is refused while it still sends would find the connection cut, and not the
        answer that says why.
        """
        if self.length > most:
            return
        # Whoever was reading before us has been told to stop, and does so now.
        await asyncio.sleep(0)
        with suppress(TimeoutError, ClientGone, fault.TooSlow):
            async with asyncio.timeout(UNHEARD_SECONDS):
                while not self.is_complete() and most > 0:
                    most -= len(await self.next())


class Body:
    """A body that is larger than what is held at once.

    `trouble` is what ended it early; whoever sends it on sees only a connection that failed.
    """

    def __init__(self, begun: bytes, intake: Intake, limit: int) -> None:
        self.trouble: Exception | None = None
        self._begun = begun
        self._intake = intake
        self._limit = limit

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts as they come. Raises Fault if they are too many or slow, ClientGone."""
        try:
            async for part in self._parts():
                yield part
        except (fault.Fault, ClientGone) as error:
            self.trouble = error
            raise

    async def _parts(self) -> AsyncIterator[bytes]:
        size = len(self._begun)
        yield self._begun
        while not self._intake.is_complete():
            part = await self._intake.next()
            size += len(part)
            if size > self._limit:
                raise fault.too_large()
            if part:
                yield part


async def is_garbage(intake: Intake, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body says it is JSON, and is none at all. Of a large or a slow one, never."""
    kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if not kind.endswith((b"/json", b"+json")) or intake.length > HELD_AT_ONCE:
        return False
    held = b""
    with suppress(TimeoutError, ClientGone):
        async with asyncio.timeout(UNHEARD_SECONDS):
            while not intake.is_complete() and len(held) <= HELD_AT_ONCE:
                held += await intake.next()
    return bool(held) and intake.is_complete() and not _is_json(held)


def _is_json(text: bytes) -> bool:
    try:
        _LENIENT.decode(text.decode("utf-8-sig", "surrogateescape").strip())
    except (ValueError, RecursionError):
        return False
    return True


async def read(intake: Intake, *, limit: int) -> bytes | Body | None:
    """The body: None, all of it, or one to be streamed. Raises Fault if too large, ClientGone."""
    if intake.length > limit:
        raise fault.too_large()
    if intake.is_complete():
        return None
    held = await intake.next()
    while not intake.is_complete() and len(held) <= HELD_AT_ONCE:
        held += await intake.next()
    if len(held) > limit:
        raise fault.too_large()
    return held if intake.is_complete() else Body(held, intake, limit)


async def whole(intake: Intake, *, limit: int) -> bytes:
    """All of the body. Raises Fault if too large, ClientGone."""
    content = await read(intake, limit=limit)
    if isinstance(content, Body):
        return b"".join([part async for part in content.parts()])
    return content or b""


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bool]:
    for name, value in headers:
        if name == b"content-length":
            # Of endless digits some say enough; Python takes no number from all of them.
            return (int(value[:20]), True) if value.isdigit() else (0, True)
        if name == b"transfer-encoding":
            return 0, True
    return 0, False
