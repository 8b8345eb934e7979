"""Where the relay stands, as it is written down before anything is sent.

The row in `relay` is both the memory and the fence: every write is a compare-and-set on the epoch
of whoever leads and the tick it last wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from libs.eventsourcing.snapshot import Snapshot
from libs.failpoints import reach
from libs.messaging.publisher import Lane
from libs.messaging.tail import Page


class Deposed(Exception):
    """Another relay leads now; nothing was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A page of the log on its way: what `target` sees and `published` did not, from
    `after_position` (not included) to `until_position` (included), numbered from `first_seq`.

    `complete` says that the page is the last of its difference, `confirmed` that Kafka has it.
    """

    epoch: int
    tick: int
    published: Snapshot
    target: Snapshot
    after_position: int
    until_position: int
    first_seq: int
    next_seq: int
    complete: bool
    confirmed: bool

    def next(self, page: Page) -> "Tick":
        """The tick that sends `page` after this one."""
        return replace(
            self,
            tick=self.tick + 1,
            published=page.difference.published,
            target=page.difference.target,
            after_position=page.after,
            until_position=page.events[-1].position,
            first_seq=self.next_seq,
            next_seq=self.next_seq + len(page.events),
            complete=page.last,
            confirmed=False,
        )


_TAKE_OVER: Final = """
UPDATE relay SET epoch = epoch + 1, changed_at = now()
RETURNING epoch, tick, published::text, target::text, after_position, until_position,
    first_seq, next_seq, complete, confirmed
"""

_SAVE: Final = """
UPDATE relay SET tick = $3, published = $4::text::pg_snapshot, target = $5::text::pg_snapshot,
    after_position = $6, until_position = $7, first_seq = $8, next_seq = $9, complete = $10,
    confirmed = false, changed_at = now()
WHERE epoch = $1 AND tick = $2 AND confirmed
"""

_CONFIRM: Final = """
WITH hurried AS (
    SELECT set_config('synchronous_commit', 'off', true)
), confirmed AS (
    UPDATE relay SET confirmed = true, changed_at = now() FROM hurried
    WHERE epoch = $1 AND tick = $2 AND NOT confirmed RETURNING tick
), heads AS (
    INSERT INTO relay_heads (topic, partition, last_seq)
    SELECT lane.* FROM confirmed, unnest($3::text[], $4::int[], $5::bigint[]) AS lane
    ON CONFLICT (topic, partition) DO UPDATE SET last_seq = excluded.last_seq
)
SELECT count(*) FROM confirmed
"""
"""One statement, and so one transaction, whose commit nobody waits for."""


async def take_over(connection: Any) -> Tick:
    """Begin a new epoch: whoever led before can write no more."""
    row = await connection.fetchrow(_TAKE_OVER)
    fields = dict(row)
    for name in ("published", "target"):
        fields[name] = Snapshot.parse(fields[name])
    return Tick(**fields)


async def save(connection: Any, tick: Tick) -> None:
    """Write the tick down, durably, before it is sent. Raises Deposed."""
    done = await connection.execute(
        _SAVE,
        tick.epoch,
        tick.tick - 1,
        tick.tick,
        str(tick.published),
        str(tick.target),
        tick.after_position,
        tick.until_position,
        tick.first_seq,
        tick.next_seq,
        tick.complete,
    )
    if done != "UPDATE 1":
        raise Deposed(f"tick {tick.tick} of epoch {tick.epoch}")


async def confirm(connection: Any, tick: Tick, heads: Mapping[Lane, int]) -> Tick:
    """Write down that Kafka has it, with the lanes' new last numbers. Raises Deposed.

    Losing this write is harmless: the same tick is sent again under the same numbers. So it does
    not wait for the disk.
    """
    topics, partitions = [topic for topic, _ in heads], [partition for _, partition in heads]
    reach("tick-confirming")
    done = await connection.fetchval(
        _CONFIRM, tick.epoch, tick.tick, topics, partitions, [*heads.values()]
    )
    if not done:
        raise Deposed(f"tick {tick.tick} of epoch {tick.epoch}")
    return replace(tick, confirmed=True)


async def read_heads(connection: Any) -> dict[Lane, int]:
    """The last confirmed number of every lane."""
    rows = await connection.fetch("SELECT topic, partition, last_seq FROM relay_heads")
    return {(row["topic"], row["partition"]): row["last_seq"] for row in rows}
