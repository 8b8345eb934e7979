"""Consistency tokens: `xid.position` of the transactions that wrote something, comma separated."""

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Final, NamedTuple

from libs.errors import Refused

MAX_NAMED: Final = 100
"""The most transactions that a token of one append names; see `token_of`."""
MAX_TOKEN: Final = 8200
"""Characters: two tokens of `MAX_NAMED` transactions joined, of 20 and 19 digits each."""

_ENTRY: Final = re.compile(r"([0-9]{1,40})(?:\.([0-9]{1,40}))?")


class TokenMalformed(Refused):
    """The consistency token is not one of ours."""


class TokenEntry(NamedTuple):
    """The writes of a transaction, up to a position of the log.

    `position` is None in tokens of releases that named transactions only.
    """

    xid: int
    position: int | None


def token_of(written: Iterable[tuple[int, int]], *, later: int) -> str:
    """The token of transactions and positions, with the last position of each transaction.

    `later` is a transaction that ended, or will begin, after all of these. It replaces more than
    `MAX_NAMED` of them, since a snapshot that sees its end sees theirs too.
    """
    last: dict[int, int] = {}
    for xid, position in written:
        last[xid] = max(position, last.get(xid, 0))
    if len(last) > MAX_NAMED:
        last = {later: max(last.values())}
    return ",".join(f"{xid}.{position}" for xid, position in sorted(last.items()))


def parse_token(token: str) -> list[TokenEntry]:
    """The writes that a token names; none if it is empty. Raises TokenMalformed."""
    if len(token) > MAX_TOKEN:
        raise TokenMalformed
    entries = [_ENTRY.fullmatch(entry) for entry in token.split(",")] if token else []
    return [_parsed(entry) for entry in entries]


def collected() -> list[str]:
    """The tokens that were collected so far; none outside of `collecting`."""
    return _COLLECTED.get() or []


class collecting(AbstractContextManager[list[str]]):  # noqa: N801  # used as a function
    """Collect the tokens of all appends in this context and in tasks started in it.

    A class, because every request enters it, and a generator takes three times as long.
    """

    def __enter__(self) -> list[str]:
        tokens: list[str] = []
        self._reset = _COLLECTED.set(tokens)
        return tokens

    def __exit__(self, *_: object) -> None:
        _COLLECTED.reset(self._reset)


def collect(token: str) -> None:
    """Add a token to those of this context, if it is collecting."""
    tokens = _COLLECTED.get()
    if tokens is not None and token:
        tokens.append(token)


_COLLECTED: Final[ContextVar[list[str] | None]] = ContextVar("collected tokens", default=None)


def _parsed(entry: re.Match[str] | None) -> TokenEntry:
    if entry is None:
        raise TokenMalformed
    xid, position = entry.groups()
    return TokenEntry(int(xid), None if position is None else int(position))
