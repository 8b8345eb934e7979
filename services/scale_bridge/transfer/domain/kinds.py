"""The kinds of operations on a scale: one table says what each of them does."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The name of a kind, as it is stored and as clients write it."""

    FETCH = "fetch"
    UPLOAD = "upload"
    VERIFY = "verify"
    PROBE = "probe"
    REFRESH = "refresh"


@dataclass(frozen=True, kw_only=True, slots=True)
class KindSpec:
    """What an operation of a kind does.

    `sends`: it writes a revision of the catalogue to the scale. If it breaks off, the outcome is
    unknown; once it is done, the prices of that revision count as sent.
    `adopts`: the catalogue it reads replaces the stored one.
    `reads`: once it is done, all products of the scale were read.
    `compares`: it works on the stored catalogue, which the scale is sent or compared with.
    `needs_catalogue`: it fails if no valid catalogue is stored.
    `refreshes_dates`: it dates the products anew before it begins.
    `first`: the kind that is executed before it if no valid catalogue is stored.
    `automatic`: failed imports are diagnosed only if `diagnose_auto` is set.
    """

    sends: bool = False
    adopts: bool = False
    reads: bool = False
    compares: bool = False
    needs_catalogue: bool = False
    refreshes_dates: bool = False
    first: Kind | None = None
    automatic: bool = False


KINDS: Final[Mapping[Kind, KindSpec]] = {
    Kind.FETCH: KindSpec(adopts=True, reads=True),
    Kind.UPLOAD: KindSpec(sends=True, compares=True, needs_catalogue=True),
    Kind.VERIFY: KindSpec(reads=True, compares=True),
    Kind.PROBE: KindSpec(),
    Kind.REFRESH: KindSpec(
        sends=True, compares=True, refreshes_dates=True, first=Kind.FETCH, automatic=True
    ),
}
"""What differs between kinds. The exchange of each, and whether it is repeated, is in `perform`."""

SENDS: Final = frozenset({kind for kind in Kind if KINDS[kind].sends})
READS: Final = frozenset({kind for kind in Kind if KINDS[kind].reads})
COMPARES: Final = frozenset({kind for kind in Kind if KINDS[kind].compares})
ADOPTS: Final = frozenset({kind for kind in Kind if KINDS[kind].adopts})
MAY_ADOPT: Final = ADOPTS | {kind for kind in Kind if KINDS[kind].first in ADOPTS}
"""Kinds that adopt what they read, or begin with one that does."""
