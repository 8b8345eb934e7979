"""Taking over read models that were fed from Kafka, for the migrations of services that had such.

A read model that had come exactly as far as the relay goes on there. One that was behind, or ahead
of what the relay knew to be confirmed, has no place in the log: it is registered as filled by
version 0, its rows stay to be read, and `migrate` rebuilds it.
"""

from typing import Final, Protocol


class Operations(Protocol):
    """The part of Alembic's `op` that is used here."""

    def execute(self, sqltext: str) -> None: ...


_OURS: Final = "{table}.projection NOT LIKE 'inbox-%'"

_MAIN: Final = f"""
INSERT INTO projection_checkpoints (name, published, target, after_position, complete)
SELECT 'main', published, target, CASE WHEN confirmed THEN until_position ELSE after_position END,
    confirmed AND complete
FROM relay WHERE EXISTS (
    SELECT FROM generations AS g WHERE g.state = 'live' AND {_OURS.format(table="g")}
)
"""  # noqa: S608 -- no input

_LEVEL: Final = """
SELECT g.projection, NOT EXISTS (
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
) AS level
FROM generations AS g WHERE g.state = 'live' AND g.projection NOT LIKE 'inbox-%'
"""

_REGISTER: Final = (
    f"""INSERT INTO projection_checkpoints (name)
    SELECT 'detached/' || projection FROM ({_LEVEL}) AS one WHERE NOT level""",  # noqa: S608
    f"""INSERT INTO projections (name, state, version, checkpoint, detached_because)
    SELECT projection, 'live', CASE WHEN level THEN 1 ELSE 0 END,
        CASE WHEN level THEN 'main' ELSE 'detached/' || projection END,
        CASE WHEN level THEN NULL ELSE 'was not level with the relay; rebuild it' END
    FROM ({_LEVEL}) AS one""",  # noqa: S608
)

_PARKED: Final = """
INSERT INTO parked_events
    (projection, state, tenant, stream, first_position, reason, error, attempts, parked_at)
SELECT s.projection, 'live', s.tenant, s.stream,
    min(convert_from(decode(header ->> 1, 'base64'), 'UTF8')::bigint),
    s.reason, s.error, s.attempts, s.parked_at
FROM parked_streams AS s
JOIN projections AS p ON p.name = s.projection AND p.version > 0
JOIN parked AS r USING (projection, tenant, stream)
CROSS JOIN LATERAL jsonb_array_elements(r.headers) AS header
WHERE header ->> 0 = 'position'
GROUP BY s.projection, s.tenant, s.stream, s.reason, s.error, s.attempts, s.parked_at
"""

_FORGET: Final = (
    "DELETE FROM parked_streams WHERE projection NOT LIKE 'inbox-%'",
    "DELETE FROM generations WHERE projection NOT LIKE 'inbox-%'",
)


def adopt_read_models(op: Operations) -> None:
    """Give the service's read models their places in the log. No worker may run meanwhile.

    Next and previous versions are given up; their tables may be dropped.
    """
    for statement in (_MAIN, *_REGISTER, _PARKED, *_FORGET):
        op.execute(statement)
