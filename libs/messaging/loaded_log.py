"""Adopt a log that was loaded from a dump of another cluster.

A dump holds transaction ids of the cluster it comes from; in this cluster the same ids belong to
other transactions.
"""

from typing import Final

from libs.messaging.leadership import renew_incarnation
from libs.postgres.pool import Pool

_BLOCK_WRITERS: Final = "LOCK TABLE events IN EXCLUSIVE MODE"

_LAGGING: Final = """
SELECT DISTINCT p.name FROM projections p
JOIN projection_checkpoints c ON split_part(c.name, '#', 1) = p.checkpoint
WHERE p.state = 'live' AND EXISTS (
    SELECT FROM events WHERE NOT (
        pg_visible_in_snapshot(xid, c.published)
        OR pg_visible_in_snapshot(xid, c.target) AND (c.complete OR position <= c.after_position)
    )
)
ORDER BY p.name
"""

_RENUMBER: Final = (
    "ALTER TABLE events DISABLE TRIGGER events_append_only",
    # The first ordinary id: every snapshot of this cluster sees it, and positions give the order.
    "UPDATE events SET xid = '3' WHERE xid <> '3'",
    "ALTER TABLE events ENABLE TRIGGER events_append_only",
    """UPDATE projection_checkpoints SET batch = batch + 1, published = pg_current_snapshot(),
        target = pg_current_snapshot(), after_position = 0, complete = true, changed_at = now()""",
    # Positions alone say where a parked stream stopped.
    "UPDATE parked_events SET published = NULL, target = NULL",
    """UPDATE relay SET published = '1:1:', target = '1:1:', after_position = 0,
        until_position = 0, complete = true, confirmed = true, database = NULL""",
)

_DETACH: Final = (
    """INSERT INTO projection_checkpoints (name)
    SELECT 'detached/' || name FROM unnest($1::text[]) AS name
    ON CONFLICT (name) DO NOTHING""",
    """UPDATE projections SET version = 0, checkpoint = 'detached/' || name, changed_at = now(),
        detached_because = 'was behind when it was dumped; rebuild it'
    WHERE name = ANY($1) AND state = 'live'""",
)


async def adopt_loaded_log(pool: Pool) -> list[str]:
    """Give the events transaction ids of this cluster and begin a new incarnation of the log.

    The relay will send everything again. Read models stay as they were dumped. Those that were
    behind when they were dumped lose their position in the log: their names are returned, and
    `migrate` rebuilds them. Stop all workers before. `pool` must belong to the owner of the tables
    and see all tenants. Safe to repeat: it is one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_BLOCK_WRITERS)
        lagging = [row["name"] for row in await connection.fetch(_LAGGING)]
        for statement in _RENUMBER:
            await connection.execute(statement)
        for statement in _DETACH:
            await connection.execute(statement, lagging)
        await renew_incarnation(connection)
    return lagging
