"""A request's body on its way through: never more than allowed, never all of a large one held."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from services.gateway.api import fault

Receive: TypeAlias = Callable[[], Awaitable[Any]]

HELD_AT_ONCE: Final = 64 * 1024
"""Bytes. A body up to this size goes on in one piece, a larger one as it comes."""
BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class ClientGone(Exception):
    """The client hung up before its body was complete. There is nobody to answer."""


class Body:
    """A body that is larger than what is held at once.

    `trouble` is what ended it early; whoever sends it on sees only a connection that failed.
    """

    def __init__(self, begun: bytes, receive: Receive, limit: int) -> None:
        self.trouble: Exception | None = None
        self._begun = begun
        self._receive = receive
        self._limit = limit

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts as they come. Raises Fault if they are too many, ClientGone."""
        try:
            async for part in self._parts():
                yield part
        except (fault.Fault, ClientGone) as error:
            self.trouble = error
            raise

    async def _parts(self) -> AsyncIterator[bytes]:
        size, part, more = len(self._begun), self._begun, True
        yield part
        while more:
            part, more = await _next(self._receive)
            size += len(part)
            if size > self._limit:
                raise fault.too_large()
            if part:
                yield part


async def read(
    method: str, headers: Iterable[tuple[bytes, bytes]], receive: Receive, *, limit: int
) -> bytes | Body | None:
    """The body: None, all of it, or one to be streamed. Raises Fault if too large, ClientGone."""
    length, announced = _announced(headers)
    if length > limit:
        raise fault.too_large()
    if not announced and method in BODILESS:
        return None
    held, more = await _next(receive)
    parts = [held]
    size = len(held)
    while more and size <= HELD_AT_ONCE:
        part, more = await _next(receive)
        parts.append(part)
        size += len(part)
    if size > limit:
        raise fault.too_large()
    begun = held if len(parts) == 1 else b"".join(parts)
    return Body(begun, receive, limit) if more else begun


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bool]:
    for name, value in headers:
        if name == b"content-length":
            return (int(value), True) if value.isdigit() else (0, True)
        if name == b"transfer-encoding":
            return 0, True
    return 0, False


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)
