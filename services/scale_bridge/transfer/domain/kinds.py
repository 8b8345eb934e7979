"""The kinds of operations on a scale, one row for each, and their outcomes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class Outcome(StrEnum):
    """The outcome of an operation."""

    DONE = "done"
    VERIFIED = "verified"
    FAILED = "failed"
    UNKNOWN = "unknown"


SUCCEEDED: Final = frozenset({Outcome.DONE, Outcome.VERIFIED})


@dataclass(frozen=True, kw_only=True, slots=True)
class KindSpec:
    """What an operation of a kind does.

    `sends`: it writes a revision of the catalogue to the scale. If it breaks off, the outcome is
    unknown; once it is done, the prices of that revision count as sent.
    `adopts`: the catalogue it reads replaces the stored one.
    `reads`: once it is done, all products of the scale were read.
    `compares`: it works on the stored catalogue, which the scale is sent or compared with.
    `needs_catalogue`: it fails if no valid catalogue is stored.
    `fetches_first`: if no valid catalogue is stored, a fetch is executed before it.
    `refreshes_dates`: it dates the products anew before it begins.
    `automatic`: failed imports are diagnosed only if `diagnose_auto` is set.
    """

    sends: bool = False
    adopts: bool = False
    reads: bool = False
    compares: bool = False
    needs_catalogue: bool = False
    fetches_first: bool = False
    refreshes_dates: bool = False
    automatic: bool = False


class Kind(StrEnum):
    """The kinds by the names under which they are stored and clients write them.

    The exchange of each is in `perform`; what is repeated after a failure is in `retry`.
    """

    spec: KindSpec

    def __new__(cls, name: str, spec: KindSpec = KindSpec()) -> Self:
        """A row of the table."""
        kind = str.__new__(cls, name)
        kind._value_ = name
        kind.spec = spec
        return kind

    FETCH = "fetch", KindSpec(adopts=True, reads=True)
    UPLOAD = "upload", KindSpec(sends=True, compares=True, needs_catalogue=True)
    VERIFY = "verify", KindSpec(reads=True, compares=True)
    PROBE = "probe"
    REFRESH = (
        "refresh",
        KindSpec(
            sends=True, compares=True, fetches_first=True, refreshes_dates=True, automatic=True
        ),
    )


SENDS: Final = frozenset({kind for kind in Kind if kind.spec.sends})
READS: Final = frozenset({kind for kind in Kind if kind.spec.reads})
COMPARES: Final = frozenset({kind for kind in Kind if kind.spec.compares})
ADOPTS: Final = frozenset({kind for kind in Kind if kind.spec.adopts})
MAY_ADOPT: Final = ADOPTS | {kind for kind in Kind if kind.spec.fetches_first}
"""Kinds that adopt what they read, or begin with a fetch."""


def broken_off(kind: str) -> Outcome:
    """The outcome of an operation that began, and did not come to its end."""
    return Outcome.UNKNOWN if kind in SENDS else Outcome.FAILED
