"""The right to publish a log: a session lock, an epoch in the table, and the log's identity.

The leader's connection holds the lock, and the server ends a session that sends no query for
`IDLE_SECONDS`: a leader that froze, or whose host vanished, loses the lock to the next relay. Its
later writes are refused by the epoch.
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any, Final, TypeVar

from libs.messaging.publisher import LogIdentity
from libs.messaging.relay_batch import COLUMNS, Deposed, RelayBatch

LEADER_LOCK: Final = 0x7E1A4
"""The first key of the leader's advisory lock; the second is the hash of the schema's name."""

IDLE_SECONDS: Final = 10.0
"""How long the leader's session may send no query before the server closes it."""

HEARTBEAT_SECONDS: Final = 2.0
"""How often an idle leader checks that it still leads."""

ANSWER_SECONDS: Final = 5.0

Result = TypeVar("Result")

_DATABASE: Final = """
SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
FROM pg_control_system()
"""
"""The cluster and its timeline. The timeline is that of the next write: the timeline of the last
checkpoint lags behind a promotion."""

_TAKE_OVER: Final = f"""
UPDATE relay SET epoch = epoch + 1, database = $1, changed_at = now()
RETURNING epoch, log_id::text, incarnation::text, {COLUMNS}
"""  # noqa: S608 -- names of columns

_CHECK: Final = """
SELECT EXISTS (SELECT FROM relay_republish) AS requested FROM relay WHERE epoch = $1
"""

_RENEW: Final = (
    # An unconfirmed batch becomes the first of the new incarnation.
    """UPDATE relay SET epoch = epoch + 1, incarnation = gen_random_uuid(), first_seq = 1,
        next_seq = CASE WHEN confirmed THEN 1 ELSE 1 + next_seq - first_seq END""",
    "DELETE FROM relay_heads",
    "DELETE FROM relay_topics",
    # Republications start over.
    """WITH again AS (DELETE FROM relay_republish RETURNING topic, requested_at)
    INSERT INTO relay_republish (topic, requested_at) SELECT topic, requested_at FROM again""",
)


class Leadership:
    """One epoch of a leader. `republish_requested` says that a topic is to be sent again."""

    def __init__(self, connection: Any, epoch: int, identity: LogIdentity) -> None:
        self.connection = connection
        self.epoch = epoch
        self.identity = identity
        self.republish_requested = False
        self._checked_at = monotonic()

    async def check(self) -> None:
        """Check that this epoch is still the last one. Raises Deposed."""
        row = await self.connection.fetchrow(_CHECK, self.epoch, timeout=ANSWER_SECONDS)
        self._checked_at = monotonic()
        if row is None:
            raise Deposed(f"epoch {self.epoch}")
        self.republish_requested = row["requested"]

    async def check_if_due(self) -> None:
        """Check, unless that was done within `HEARTBEAT_SECONDS`. Raises Deposed."""
        if monotonic() - self._checked_at >= HEARTBEAT_SECONDS:
            await self.check()

    async def during(self, work: Awaitable[Result]) -> Result:
        """Wait for `work` and keep checking; cancel it if this epoch ends. Raises Deposed.

        `work` must not use the leader's connection.
        """
        task = asyncio.ensure_future(work)
        try:
            while True:
                await asyncio.wait([task], timeout=HEARTBEAT_SECONDS)
                if task.done():
                    return task.result()
                await self.check()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def take_over(connection: Any) -> tuple[Leadership, RelayBatch]:
    """Begin a new epoch, which fences off the relay that led before.

    If the log was restored or failed over since then, a new incarnation begins too.
    """
    database = await connection.fetchval(_DATABASE)
    async with connection.transaction():
        previous = await connection.fetchval("SELECT database FROM relay FOR UPDATE")
        if previous not in (None, database):
            await renew_incarnation(connection)
        row = await connection.fetchrow(_TAKE_OVER, database)
        topics = await connection.fetch("SELECT topic, incarnation::text FROM relay_topics")
    by_topic = {topic["topic"]: topic["incarnation"] for topic in topics}
    identity = LogIdentity(row["log_id"], row["incarnation"], by_topic)
    return Leadership(connection, row["epoch"], identity), RelayBatch.of(row)


async def renew_incarnation(connection: Any) -> None:
    """Begin a new incarnation of the log, whose numbers start over in every topic.

    This deposes the current leader. Call it in a transaction.
    """
    for statement in _RENEW:
        await connection.execute(statement)
