"""What a request's head may say but once.

A program that reads the first of two and one that reads the last must not see different callers.
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
    """The head of a request (names in lower case), credentials given once or opening nothing."""
    said = list(headers)
    first = dict(reversed(said))
    if len(first) == len(said):
        return Head(said, first, names_several_hosts=False)
    said = with_single_credentials(said)
    return Head(said, dict(reversed(said)), names_several_hosts(said))


def with_single_credentials(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers (names in lower case); credentials that are given twice are joined (RFC 9110
    §5.3), and so open nothing."""
    said = list(headers)
    for name in CREDENTIALS:
        values = [value for each, value in said if each == name]
        if len(values) > 1:
            said = [one for one in said if one[0] != name]
            said.append((name, b", ".join(values)))
    return said


def names_several_hosts(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether `Host` is given more than once, be it twice the same."""
    return sum(name == HOST for name, _ in headers) > 1
