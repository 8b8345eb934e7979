"""Headers that a request may have only once.

Otherwise a program that reads the first and one that reads the last would see different callers.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException

CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
HOST: Final = b"host"

RawHeaders = list[tuple[bytes, bytes]]


class HostRepeated(HTTPException):
    """400 for several `Host` lines (RFC 9112 §3.2)."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "The Host must be named once")


class Head(NamedTuple):
    """A request's headers, in order, and the first value of each name."""

    headers: RawHeaders
    first: Mapping[bytes, bytes]
    names_several_hosts: bool

    def text(self, name: bytes) -> str | None:
        """The first value of a header (in lower case), or None."""
        value = self.first.get(name)
        return None if value is None else value.decode("latin-1")


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """The head of a request (names in lower case); repeated credentials are made invalid."""
    pairs = list(headers)
    first = dict(reversed(pairs))
    if len(first) == len(pairs):
        return Head(pairs, first, names_several_hosts=False)
    pairs = with_single_credentials(pairs)
    return Head(pairs, dict(reversed(pairs)), names_several_hosts(pairs))


def with_single_credentials(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers (names in lower case), in which repeated credentials are joined (RFC 9110 §5.3).

    Joined credentials are invalid.
    """
    pairs = list(headers)
    for name in CREDENTIALS:
        values = [value for header, value in pairs if header == name]
        if len(values) > 1:
            pairs = [pair for pair in pairs if pair[0] != name]
            pairs.append((name, b", ".join(values)))
    return pairs


def names_several_hosts(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether there are several `Host` lines, even equal ones."""
    return sum(name == HOST for name, _ in headers) > 1
