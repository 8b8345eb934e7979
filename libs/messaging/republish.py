"""Send a topic again from the log, under an incarnation of its own.

A request is a row. The leading relay serves it before it follows the log any further. The batches
are saved like all others, so another relay continues if this one dies, and no record of another
incarnation comes in between.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from libs.messaging.leadership import Leadership
from libs.messaging.publisher import LogIdentity
from libs.messaging.relay_batch import COLUMNS, Deposed, RelayBatch

_REQUEST: Final = "INSERT INTO relay_republish (topic) VALUES ($1) ON CONFLICT DO NOTHING"

_NEXT: Final = f"""
SELECT topic, incarnation::text, started_at IS NOT NULL AS started, total, {COLUMNS}
FROM relay_republish ORDER BY requested_at, topic LIMIT 1
"""  # noqa: S608 -- names of columns

_START: Final = f"""
UPDATE relay_republish SET started_at = now(), target = relay.target, complete = false, total = (
    SELECT count(*) FROM events
    WHERE split_part(stream, '-', 1) = $3 AND pg_visible_in_snapshot(xid, relay.target)
)
FROM relay
WHERE relay.epoch = $1 AND relay.complete AND relay.confirmed AND topic = $2
RETURNING topic, relay_republish.incarnation::text, total,
    {", ".join(f"relay_republish.{column}" for column in COLUMNS.split(", "))}
"""  # noqa: S608 -- names of columns

_NAME: Final = """
INSERT INTO relay_topics (topic, incarnation) VALUES ($1, $2::text::uuid)
ON CONFLICT (topic) DO UPDATE SET incarnation = excluded.incarnation
"""

_FINISH: Final = """
WITH relayed AS (
    -- Numbers rise in every topic, even in one that was sent again.
    UPDATE relay SET next_seq = greatest(next_seq, $3), changed_at = now()
    WHERE epoch = $1 AND confirmed RETURNING true
)
DELETE FROM relay_republish WHERE topic = $2 AND EXISTS (SELECT FROM relayed)
"""

_PROGRESS: Final = """
SELECT CASE WHEN confirmed THEN next_seq ELSE first_seq END - 1 AS sent,
    CASE WHEN started_at IS NOT NULL THEN total END AS total
FROM relay_republish WHERE topic = $1
"""


@dataclass(frozen=True, slots=True)
class Republication:
    """A topic that is being sent again: its `total` of events, and the last saved batch."""

    topic: str
    identity: LogIdentity
    batch: RelayBatch
    total: int

    @property
    def kind(self) -> str:
        """The kind of streams whose events the topic holds."""
        return kind_of(self.topic)


def kind_of(topic: str) -> str:
    """The kind of streams of a topic: `scan` for `tillstream.ingest.scan`."""
    return topic.rpartition(".")[2]


async def request(connection: Any, topic: str) -> None:
    """Request that the leading relay sends a topic again. Does nothing if that is requested."""
    await connection.execute(_REQUEST, topic)


async def progress(connection: Any, topic: str) -> tuple[int, int | None] | None:
    """How many events were sent again, and their total, which is None until sending has begun.

    Returns None if no request for the topic is left.
    """
    row = await connection.fetchrow(_PROGRESS, topic)
    return None if row is None else (row["sent"], row["total"])


async def begin(leadership: Leadership) -> Republication | None:
    """Begin or continue the oldest request. Returns None without one. Raises Deposed.

    The relay's own last batch must be complete and confirmed: events up to there are sent again.
    """
    connection, epoch = leadership.connection, leadership.epoch
    async with connection.transaction():
        row = await connection.fetchrow(_NEXT)
        if row is None:
            return None
        topic = row["topic"]
        if not row["started"]:
            row = await connection.fetchrow(_START, epoch, topic, kind_of(topic))
            if row is None:
                raise Deposed(f"epoch {epoch}")
            await connection.execute(_NAME, topic, row["incarnation"])
            await connection.execute("DELETE FROM relay_heads WHERE topic = $1", topic)
    by_topic = {**leadership.identity.by_topic, topic: row["incarnation"]}
    identity = replace(leadership.identity, by_topic=by_topic)
    return Republication(topic, identity, RelayBatch.of(row), row["total"])


async def finish(leadership: Leadership, done: Republication, next_seq: int) -> None:
    """Delete the request; the relay continues with numbers from `next_seq` on. Raises Deposed."""
    status = await leadership.connection.execute(_FINISH, leadership.epoch, done.topic, next_seq)
    if status != "DELETE 1":
        raise Deposed(f"epoch {leadership.epoch}")
