"""The batch that the relay is sending, saved before anything is sent.

Every write is a compare-and-set on the epoch of the leading relay and on the number of the batch it
saved last. The confirmation of a batch is written together with the next batch: if a crash loses
it, the next relay sends the identical batch under identical numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self, TypeAlias

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor, PageOf
from libs.failpoints import failpoint
from libs.messaging.publisher import TopicPartition

Heads: TypeAlias = Mapping[TopicPartition, int]
"""The last number in every partition."""

Table: TypeAlias = Literal["relay", "relay_republish"]


class Deposed(Exception):
    """Another relay leads now; nothing was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayBatch:
    """A page of the log with its sequence numbers.

    It holds the events that `target` sees and `published` does not, at positions above
    `after_position` and up to `until_position`, numbered from `first_seq`. `complete` says that the
    page is the last of its difference, `confirmed` that Kafka has it.
    """

    number: int
    published: Snapshot
    target: Snapshot
    after_position: int
    until_position: int
    first_seq: int
    next_seq: int
    complete: bool
    confirmed: bool

    @classmethod
    def of(cls, row: Any) -> Self:
        """The batch in a row of `COLUMNS`."""
        fields = {name: row[name] for name in _FIELDS}
        published, target = Snapshot.parse(row["published"]), Snapshot.parse(row["target"])
        return cls(number=row["batch"], published=published, target=target, **fields)

    @property
    def cursor(self) -> Cursor:
        """The cursor after the batch."""
        return Cursor(
            published=self.published,
            target=self.target,
            after_position=self.until_position,
            complete=self.complete,
        )

    def next(self, page: PageOf[Any]) -> "RelayBatch":
        """The batch for the next `page`, which must have events."""
        return replace(
            self,
            number=self.number + 1,
            published=page.cursor.published,
            target=page.cursor.target,
            # Reading the page again starts here, not at the beginning of the difference.
            after_position=page.events[0]["position"] - 1,
            until_position=page.cursor.after_position,
            first_seq=self.next_seq,
            next_seq=self.next_seq + len(page.events),
            complete=page.cursor.complete,
            confirmed=False,
        )


_FIELDS: Final = (
    *("after_position", "until_position", "first_seq", "next_seq"),
    *("complete", "confirmed"),
)
COLUMNS: Final = f"batch, published::text, target::text, {', '.join(_FIELDS)}"

_HEADS: Final = """heads AS (
    INSERT INTO relay_heads (topic, partition, last_seq)
    SELECT head.* FROM written, unnest($4::text[], $5::int[], $6::bigint[]) AS head
    ON CONFLICT (topic, partition) DO UPDATE SET last_seq = excluded.last_seq
)"""

_FENCES: Final[Mapping[Table, str]] = {
    "relay": "WHERE epoch = $1 AND batch = $2 AND $3 = ''",
    "relay_republish": """FROM relay
    WHERE relay.epoch = $1 AND relay_republish.batch = $2 AND relay_republish.topic = $3""",
}

_SAVE: Final[dict[Table, str]] = {
    table: f"""
WITH written AS (
    UPDATE {table} SET batch = $7, published = $8::text::pg_snapshot,
        target = $9::text::pg_snapshot, after_position = $10, until_position = $11,
        first_seq = $12, next_seq = $13, complete = $14, confirmed = false, changed_at = now()
    {fence} RETURNING true
), {_HEADS}
SELECT count(*) FROM written
"""  # noqa: S608 -- names of tables
    for table, fence in _FENCES.items()
}

_CONFIRM: Final[dict[Table, str]] = {
    table: f"""
WITH async_commit AS (
    SELECT set_config('synchronous_commit', 'off', true)
), written AS (
    UPDATE {table} SET confirmed = true, changed_at = now()
    {fence} AND NOT {table}.confirmed AND EXISTS (SELECT FROM async_commit) RETURNING true
), {_HEADS}
SELECT count(*) FROM written
"""  # noqa: S608 -- names of tables
    for table, fence in _FENCES.items()
}
"""One statement is one transaction, whose commit does not wait for the disk."""


@dataclass(frozen=True, slots=True)
class BatchTable:
    """Saves the batches of one epoch: the relay's own, or those of a topic that is sent again."""

    connection: Any
    epoch: int
    table: Table = "relay"
    topic: str = ""

    async def save(self, batch: RelayBatch, heads: Heads) -> None:
        """Save the batch durably and confirm the previous one, with `heads`. Raises Deposed."""
        written = await self.connection.fetchval(
            _SAVE[self.table],
            *self._fence(batch.number - 1, heads),
            batch.number,
            str(batch.published),
            str(batch.target),
            batch.after_position,
            batch.until_position,
            batch.first_seq,
            batch.next_seq,
            batch.complete,
        )
        self._check(written, batch)

    async def confirm(self, batch: RelayBatch, heads: Heads) -> RelayBatch:
        """Confirm the batch alone, for when no other follows soon. Raises Deposed.

        Losing this write is harmless, so it does not wait for the disk.
        """
        failpoint("relay-confirming")
        written = await self.connection.fetchval(
            _CONFIRM[self.table], *self._fence(batch.number, heads)
        )
        self._check(written, batch)
        failpoint("relay-confirmed")
        return replace(batch, confirmed=True)

    def _fence(self, number: int, heads: Heads) -> tuple[Any, ...]:
        topics, partitions = [topic for topic, _ in heads], [partition for _, partition in heads]
        return self.epoch, number, self.topic, topics, partitions, [*heads.values()]

    def _check(self, written: int, batch: RelayBatch) -> None:
        if not written:
            raise Deposed(f"batch {batch.number} of epoch {self.epoch}")


async def read_heads(connection: Any) -> dict[TopicPartition, int]:
    """The last confirmed number of every partition."""
    rows = await connection.fetch("SELECT topic, partition, last_seq FROM relay_heads")
    return {(row["topic"], row["partition"]): row["last_seq"] for row in rows}
