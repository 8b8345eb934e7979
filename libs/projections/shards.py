"""Sharding: several runners apply the log concurrently, each a shard of the streams.

Every shard reads the whole log and has a checkpoint and a lock of its own; it applies only its
streams to a read model. The checkpoints of read models that are applied together are rows of
`projection_checkpoints` called `name`, `name#1`, `name#2`: one for each shard. `name` is their
group.
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
"""The SQL of `group_of`."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `number`, counted from 0, of `count`."""

    number: int = 0
    count: int = 1

    def applies(self, model: "Projection[Any]", stream: StreamKey) -> bool:
        """Whether this shard applies the stream to the read model."""
        return self.count == 1 or shard_of(model, stream, self.count) == self.number

    def serves(self, model: "Projection[Any]") -> bool:
        """Whether this shard applies any streams to the read model."""
        return self.number in shards_of(model, self.count)


ONLY_SHARD: Final = Shard()


def shard_of(model: "Projection[Any]", stream: StreamKey, count: int) -> int:
    """The number of the shard that applies the stream: stable over processes and releases."""
    key = model.name if model.shard_key is None else model.shard_key(*stream)
    return crc32(key.encode()) % count


def shards_of(model: "Projection[Any]", count: int) -> Sequence[int]:
    """The shards that apply streams to the read model: all, or one if it has no shard key."""
    return range(count) if model.shard_key else [shard_of(model, ("", ""), count)]


def row_name(group: str, number: int) -> str:
    """The name of the checkpoint of a shard."""
    return f"{group}#{number}" if number else group


def group_of(name: str) -> str:
    """The name of a checkpoint without its shard."""
    return name.partition("#")[0]


def shard_number(name: str) -> int:
    """The shard in the name of a checkpoint."""
    return int(name.partition("#")[2] or 0)


def earliest(cursors: Iterable[Cursor]) -> Cursor:
    """A cursor that none of the given ones is before; the given one, if it is the only one.

    All must be of one log, whose snapshots are ordered.
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
