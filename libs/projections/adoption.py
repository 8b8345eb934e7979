"""Adopting read models that were fed from Kafka, for the migrations of services that had such.

A read model that was exactly as far as the relay continues there. Any other has no position in the
log: it is registered as filled by version 0, its rows stay readable, and `migrate` rebuilds it.
That is a read model that was behind, that was ahead of what the relay knew to be confirmed, that
was rebuilt from events the relay has not read, that was filled by code that has changed since, or
that parked records which the log does not have in the same form.
"""

from collections.abc import Sequence
from typing import Final

from libs.postgres.rls import Operations

_MAIN: Final = """
INSERT INTO projection_checkpoints (name, published, target, after_position, complete)
SELECT 'main', published, target, CASE WHEN confirmed THEN until_position ELSE after_position END,
    confirmed AND complete
FROM relay WHERE EXISTS (
    SELECT FROM generations AS g WHERE g.state = 'live' AND g.projection NOT LIKE 'inbox-%'
)
"""

# A record is identified by stream and position; records of foreign producers have none, or a wrong
# one. Joined by equalities only, since both the log and a parked stream may be long.
_PARKED_BEFORE: Final = """
CREATE TEMPORARY TABLE parked_before ON COMMIT DROP AS
SELECT r.projection, r.tenant, r.stream, min(e.position) AS first_position,
    bool_and(e.position IS NOT NULL) AS all_found,
    EXISTS (SELECT FROM events AS e WHERE e.tenant = r.tenant AND e.stream = r.stream) AS is_ours
FROM parked AS r
LEFT JOIN LATERAL (
    SELECT header ->> 1 AS position FROM jsonb_array_elements(r.headers) AS header
    WHERE header ->> 0 = 'position' LIMIT 1
) AS given ON true
LEFT JOIN events AS e ON e.tenant = r.tenant AND e.stream = r.stream
    AND encode(e.position::text::bytea, 'base64') = given.position
GROUP BY r.projection, r.tenant, r.stream
"""

_IS_LEVEL: Final = """
NOT EXISTS (
    SELECT FROM relay_heads AS head
    WHERE (
        NOT EXISTS (SELECT FROM checkpoints AS c
            WHERE c.projection = g.projection AND c.generation = g.generation)
        OR head.topic IN (SELECT c.topic FROM checkpoints AS c
            WHERE c.projection = g.projection AND c.generation = g.generation)
    ) AND NOT EXISTS (SELECT FROM checkpoints AS c
        WHERE c.projection = g.projection AND c.generation = g.generation
            AND c.topic = head.topic AND c.partition = head.partition
            AND c.relay_seq = head.last_seq)
)"""

_IS_AHEAD: Final = """
EXISTS (
    SELECT FROM checkpoints AS c LEFT JOIN relay_heads AS head USING (topic, partition)
    WHERE c.projection = g.projection AND c.generation = g.generation
        AND c.relay_seq > coalesce(head.last_seq, 0)
)"""

_BEGAN_AHEAD: Final = """
EXISTS (
    SELECT FROM projection_checkpoints AS main
    JOIN events AS e ON e.xid::text::bigint >= pg_snapshot_xmin(main.published)::text::bigint
    WHERE main.name = 'main' AND pg_visible_in_snapshot(e.xid, g.base) AND NOT (
        pg_visible_in_snapshot(e.xid, main.published)
        OR pg_visible_in_snapshot(e.xid, main.target)
            AND (main.complete OR e.position <= main.after_position)
    )
)"""

_HAS_LOST: Final = """
EXISTS (
    SELECT FROM parked_before AS p
    WHERE p.projection = g.projection AND p.is_ours AND NOT p.all_found
)"""

_CHANGED: Final = """
CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
SELECT unnest(ARRAY[{names}]::text[]) AS name
"""

_ADOPTED: Final = f"""
CREATE TEMPORARY TABLE adopted ON COMMIT DROP AS
SELECT g.projection AS name, CASE
    WHEN {_IS_AHEAD} THEN 'was ahead of the relay; rebuild it'
    WHEN NOT {_IS_LEVEL} THEN 'was not level with the relay; rebuild it'
    WHEN g.base IS NOT NULL AND {_BEGAN_AHEAD} THEN 'was rebuilt ahead of the relay; rebuild it'
    WHEN {_HAS_LOST} THEN 'had parked records that are not in the log; rebuild it'
    WHEN g.projection IN (SELECT name FROM changed) THEN 'was filled by older code; rebuild it'
END AS because
FROM generations AS g WHERE g.state = 'live' AND g.projection NOT LIKE 'inbox-%'
"""  # noqa: S608 -- no input

_REGISTER: Final = (
    """INSERT INTO projection_checkpoints (name)
    SELECT 'detached/' || name FROM adopted WHERE because IS NOT NULL""",
    """INSERT INTO projections (name, state, version, checkpoint, detached_because)
    SELECT name, 'live', CASE WHEN because IS NULL THEN 1 ELSE 0 END,
        CASE WHEN because IS NULL THEN 'main' ELSE 'detached/' || name END, because
    FROM adopted""",
)

# Records of foreign producers are left out: the log has no such stream.
_PARKED: Final = """
INSERT INTO parked_events
    (projection, state, tenant, stream, first_position, reason, error, attempts, parked_at)
SELECT s.projection, 'live', s.tenant, s.stream, p.first_position,
    s.reason, s.error, s.attempts, s.parked_at
FROM parked_streams AS s
JOIN adopted AS a ON a.name = s.projection AND a.because IS NULL
JOIN parked_before AS p USING (projection, tenant, stream)
WHERE p.is_ours
"""

_FORGET: Final = (
    "DELETE FROM parked_streams WHERE projection NOT LIKE 'inbox-%'",
    "DELETE FROM generations WHERE projection NOT LIKE 'inbox-%'",
    "DROP TABLE adopted, changed, parked_before",
)


def adopt_read_models(op: Operations, *, changed: Sequence[str] = ()) -> None:
    """Give the service's read models their positions in the log. No worker may run meanwhile.

    `changed` are those whose code would fill the rows differently today. Next and previous versions
    are deleted; their tables may be dropped.
    """
    names = _CHANGED.format(names=", ".join(f"'{name}'" for name in changed))
    for statement in (_MAIN, _PARKED_BEFORE, names, _ADOPTED, *_REGISTER, _PARKED, *_FORGET):
        op.execute(statement)
