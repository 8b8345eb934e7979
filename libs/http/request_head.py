"""What a request's head may say but once.

A program that reads the first of two and one that reads the last must not see different callers.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException

CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
HOST: Final = b"host"

RawHeaders = list[tuple[bytes, bytes]]


class HostRepeated(HTTPException):
    """400 for several `Host` lines (RFC 9112 §3.2)."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "The Host must be named once")


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
