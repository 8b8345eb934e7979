"""The positions of read models in the log, and whether they include the writes of a token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from libs.eventsourcing.tail import LAST, Cursor
from libs.eventsourcing.tokens import parse_token

Written: TypeAlias = tuple[int, int]
"""A transaction and the last position it wrote."""


@dataclass(frozen=True, slots=True)
class Position:
    """The cursor of a read model in each shard, whether it is detached, and whether it has parked
    streams.
    """

    cursors: Sequence[Cursor]
    detached: bool
    parked: bool

    def includes(self, written: Sequence[Written]) -> bool:
        """Whether all that was written is applied or parked."""
        return all(
            cursor.includes(xid, position) for cursor in self.cursors for xid, position in written
        )


def written_in(token: str) -> list[Written]:
    """The writes that a token names. Raises TokenMalformed."""
    return [(xid, LAST if position is None else position) for xid, position in parse_token(token)]


def includes(positions: Mapping[str, Position], model: str, written: Sequence[Written]) -> bool:
    """Whether the read model is known and includes all that was written."""
    position = positions.get(model)
    return position is not None and position.includes(written)
