"""Making a log that was loaded from a dump this cluster's own.

A dump holds transaction ids of the cluster it comes from, which mean other transactions here.
"""

from typing import Final

from libs.messaging.leadership import renew_incarnation
from libs.postgres.pool import Pool

_HOLD: Final = "LOCK TABLE events IN EXCLUSIVE MODE"

_BEHIND: Final = """
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

_OWN: Final = (
    "ALTER TABLE events DISABLE TRIGGER events_append_only",
    # The first ordinary id: every moment of this cluster sees it, and positions give the order.
    "UPDATE events SET xid = '3' WHERE xid <> '3'",
    "ALTER TABLE events ENABLE TRIGGER events_append_only",
    """UPDATE projection_checkpoints SET batch = batch + 1, published = pg_current_snapshot(),
        target = pg_current_snapshot(), after_position = 0, complete = true, changed_at = now()""",
    # Where a parked stream stopped, positions say too.
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
    """Give the events transaction ids of this cluster, and begin a new incarnation.

    The relay will send everything again. Read models stay as they were dumped; those that lacked
    events then have lost their place, `migrate` rebuilds them, and their names are returned. No
    worker may run meanwhile. The pool must be the owner's, in sight of all tenants. Safe to repeat:
    it is one transaction.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_HOLD)
        behind = [row["name"] for row in await connection.fetch(_BEHIND)]
        for statement in _OWN:
            await connection.execute(statement)
        for statement in _DETACH:
            await connection.execute(statement, behind)
        await renew_incarnation(connection)
    return behind
