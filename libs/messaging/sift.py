"""Which records of a batch are new: pure, and the place where every doubt about delivery ends.

Kafka may give a record twice, the relay may send a page twice, a consumer may be positioned
wrongly. The chain of `relay_seq` and `prev_seq` settles all of it per partition.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from libs.eventsourcing.snapshot import NOTHING
from libs.messaging.checkpoints import Checkpoint
from libs.messaging.wire import Delivered, Record, Unreadable, decode


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is no event of ours, and why."""

    reason: str


@dataclass(slots=True)
class Sifted:
    """The new records of one partition, and the checkpoint behind them.

    `gap` says what is missing if a record that must exist did not come; `records` end before it,
    and `checkpoint` is where to read again.
    """

    checkpoint: Checkpoint
    records: list[tuple[Record, Delivered | Broken]] = field(default_factory=list)
    repeated: int = 0
    gap: str | None = None


def sift(records: Sequence[Record], checkpoint: Checkpoint) -> Sifted:
    """Go through one partition's records in order, starting at `checkpoint`."""
    sifted, at = Sifted(checkpoint), _At(checkpoint)
    for record in records:
        try:
            delivered = decode(record)
        except Unreadable as error:
            if record.offset < at.next_offset:
                sifted.repeated += 1
                continue
            sifted.records.append((record, Broken(str(error))))
            at.next_offset = record.offset + 1
            continue
        if not _link(sifted, at, record, delivered):
            break
    sifted.checkpoint = replace(checkpoint, next_offset=at.next_offset, relay_seq=at.relay_seq)
    return sifted


class _At:
    """How far the records are followed: a checkpoint that moves, once for every record."""

    __slots__ = ("base", "next_offset", "relay_seq")

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.base = checkpoint.base
        self.next_offset = checkpoint.next_offset
        self.relay_seq = checkpoint.relay_seq


def _link(sifted: Sifted, at: _At, record: Record, delivered: Delivered) -> bool:
    """Add the record to the chain; False if something is missing before it."""
    sifted.gap = _missing(at, record, delivered)
    if sifted.gap:
        return False
    if record.offset < at.next_offset:
        sifted.repeated += 1
        return True
    at.next_offset = record.offset + 1
    if at.relay_seq is not None and delivered.relay_seq <= at.relay_seq:
        sifted.repeated += 1
        return True
    if not at.base.sees(delivered.recorded.xid):
        sifted.records.append((record, delivered))
    at.relay_seq = delivered.relay_seq
    return True


def _missing(at: _At, record: Record, delivered: Delivered) -> str | None:
    """What must exist between the checkpoint and the record and did not come, or None."""
    place, last = at.next_offset, at.relay_seq
    if last is None:
        # A rebuilt model begins in the middle of the chain, but exactly where it says.
        begun = at.base != NOTHING and record.offset <= place
        if delivered.prev_seq and not begun:
            return f"instead of {place} came offset {record.offset}, after {delivered.prev_seq}"
        return None
    if record.offset < place and delivered.relay_seq > last:
        return f"offset {record.offset}, seen before, holds number {delivered.relay_seq} now"
    if delivered.prev_seq > last:
        return f"after number {last} came {delivered.relay_seq}, which follows {delivered.prev_seq}"
    return None
