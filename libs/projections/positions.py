"""How far read models have come, and whether that is far enough for what a token names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from libs.eventsourcing.tail import LAST, Cursor
from libs.eventsourcing.tokens import parse_token

Written: TypeAlias = tuple[int, int]
"""A transaction and the last position it wrote."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a read model is, in each shard; whether it goes on alone, and whether streams of it
    are parked.
    """

    cursors: Sequence[Cursor]
    detached: bool
    parked: bool

    def includes(self, written: Sequence[Written]) -> bool:
        """Whether all of it is applied or parked."""
        return all(
            cursor.includes(xid, position) for cursor in self.cursors for xid, position in written
        )


def written_in(token: str) -> list[Written]:
    """What a token names. Raises TokenMalformed."""
    return [(xid, LAST if position is None else position) for xid, position in parse_token(token)]


def includes(positions: Mapping[str, Position], model: str, written: Sequence[Written]) -> bool:
    """Whether the read model is known and includes all of it."""
    position = positions.get(model)
    return position is not None and position.includes(written)
