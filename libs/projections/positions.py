"""The positions of read models in the log, and whether they include the writes of a token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.eventsourcing.plan import LogPosition
from libs.eventsourcing.tail import LAST, Cursor
from libs.eventsourcing.tokens import parse_token


@dataclass(frozen=True, slots=True)
class Position:
    """The cursor of a read model in each shard, whether it is detached, and whether it has parked
    streams.
    """

    cursors: Sequence[Cursor]
    detached: bool
    parked: bool

    def includes(self, written: Sequence[LogPosition]) -> bool:
        """Whether all that was written is applied or parked."""
        return all(
            cursor.includes(xid, position) for cursor in self.cursors for xid, position in written
        )


def positions_in(token: str) -> list[LogPosition]:
    """The log positions that a token names. Raises TokenMalformed."""
    return [(xid, LAST if position is None else position) for xid, position in parse_token(token)]


def includes(positions: Mapping[str, Position], model: str, written: Sequence[LogPosition]) -> bool:
    """Whether the read model is known and includes all that was written."""
    position = positions.get(model)
    return position is not None and position.includes(written)
