"""Splitting what follows the log: each shard applies its share of the streams.

Every shard reads the whole log and has a checkpoint and a lock of its own; what differs is which
streams it applies to which read model. The checkpoints of read models that go on together are rows
of `projection_checkpoints` called `name`, `name#1`, `name#2`: one for each shard.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from zlib import crc32

from libs.eventsourcing.tail import Cursor

if TYPE_CHECKING:
    from libs.projections.projection import Projection

StreamKey: TypeAlias = tuple[str, str]
"""Tenant and stream."""

GROUP: Final = "split_part({name}, '#', 1)"
"""In SQL, the name that the rows of several shards have in common."""


@dataclass(frozen=True, slots=True)
class Share:
    """Shard number `shard`, from 0, of `of`."""

    shard: int = 0
    of: int = 1

    def has(self, model: "Projection[Any]", stream: StreamKey) -> bool:
        """Whether the read model gets the stream's events from this shard."""
        return self.of == 1 or shard_of(model, stream, self.of) == self.shard

    def serves(self, model: "Projection[Any]") -> bool:
        """Whether the read model gets any events from this shard."""
        return self.shard in shards_of(model, self.of)


WHOLE: Final = Share()


def shard_of(model: "Projection[Any]", stream: StreamKey, of: int) -> int:
    """The shard that applies the stream: the same in every process and version of Python."""
    key = model.name if model.shard_key is None else model.shard_key(*stream)
    return crc32(key.encode()) % of


def shards_of(model: "Projection[Any]", of: int) -> Sequence[int]:
    """The shards that the read model gets events from: all, or one if it is not to be split."""
    return range(of) if model.shard_key else [shard_of(model, ("", ""), of)]


def row_name(group: str, shard: int) -> str:
    """What the checkpoint of a shard is called."""
    return f"{group}#{shard}" if shard else group


def group_of(name: str) -> str:
    """The name without its shard."""
    return name.partition("#")[0]


def shard_number(name: str) -> int:
    """The shard in the name of a checkpoint."""
    return int(name.partition("#")[2] or 0)


def earliest(cursors: Iterable[Cursor]) -> Cursor:
    """A place that all of the cursors have reached; the one there is, if there is but one.

    They are of one log, whose moments follow each other.
    """
    first, *others = cursors
    if not others:
        return first
    moments = [one.target if one.complete else one.published for one in (first, *others)]
    low = moments[0]
    for moment in moments[1:]:
        if not moment.covers(low):
            low = moment
    return Cursor(published=low, target=low)
