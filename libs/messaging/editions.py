"""A read model beside itself: the live tables, the next ones being built, the previous ones kept.

Every edition has the same table names in a schema of its own (`ingest`, `ingest_next`,
`ingest_previous`), so switching is moving tables between schemas in one transaction. Readers and
the projector go by name and meet the new tables with their next statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from libs.messaging.apply import Edition
from libs.projections.projection import Projection


class NoSuchEdition(Exception):
    """There is no next (or previous) edition of this read model."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """Where the editions of a service's read models live, and the role that works on them."""

    live: str
    role: str | None = None

    @property
    def next(self) -> str:
        return f"{self.live}_next"

    @property
    def previous(self) -> str:
        return f"{self.live}_previous"

    @property
    def next_edition(self) -> Edition:
        """What the projector of a rebuild works on."""
        return Edition("next", f"{self.next}, {self.live}")


_POLICIES: Final = """
SELECT policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies
WHERE schemaname = $1 AND tablename = $2
"""

_SECURED: Final = """
SELECT relrowsecurity, relforcerowsecurity FROM pg_class
WHERE oid = format('%I.%I', $1::text, $2::text)::regclass
"""


async def prepare(connection: Any, projection: Projection[Any], schemas: Schemas) -> None:
    """Make an empty next edition, throwing away one left over. Run it as the owner."""
    await discard(connection, projection, schemas.next, "next")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schemas.next}")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schemas.previous}")
    if schemas.role:
        for schema in (schemas.next, schemas.previous):
            await connection.execute(f'GRANT USAGE ON SCHEMA {schema} TO "{schemas.role}"')
    for table in projection.tables:
        await connection.execute(
            f"CREATE TABLE {schemas.next}.{table} (LIKE {schemas.live}.{table} INCLUDING ALL)"
        )
        await _secure_like(connection, schemas, table)
    await connection.execute(
        """INSERT INTO generations (projection, generation, state)
        SELECT $1, coalesce(max(generation), 1) + 1, 'next' FROM generations
        WHERE projection = $1""",
        projection.name,
    )


async def discard(connection: Any, projection: Projection[Any], schema: str, state: str) -> None:
    """Drop an edition's tables, letters and checkpoints, if there are any."""
    for table in projection.tables:
        await connection.execute(f"DROP TABLE IF EXISTS {schema}.{table}")
    await connection.execute(
        "DELETE FROM generations WHERE projection = $1 AND state = $2", projection.name, state
    )
    await connection.execute(
        "DELETE FROM parked_streams WHERE projection = $1",
        Edition(state).parking(projection.name),
    )


async def switch(connection: Any, projection: Projection[Any], schemas: Schemas) -> None:
    """Make the next edition live and keep the live one as previous.

    The caller holds the live generation's row and has brought both to the same checkpoints.
    """
    await discard(connection, projection, schemas.previous, "previous")
    await _lock_tables(connection, projection, [schemas.live, schemas.next])
    for table in projection.tables:
        await _move(connection, table, schemas.live, schemas.previous)
        await _move(connection, table, schemas.next, schemas.live)
    await connection.execute(_CARRY_NUMBERS, projection.name)
    await _become(connection, projection.name, "live", "previous")
    await _become(connection, projection.name, "next", "live")


async def roll_back(connection: Any, projection: Projection[Any], schemas: Schemas) -> None:
    """Make the previous edition live again and the live one next. Raises NoSuchEdition.

    The live projector catches it up from its own checkpoint.
    """
    await lock_live(connection, projection)
    if not await _has(connection, projection.name, "previous"):
        raise NoSuchEdition(f"{projection.name} has no previous edition")
    await discard(connection, projection, schemas.next, "next")
    await _lock_tables(connection, projection, [schemas.live, schemas.previous])
    for table in projection.tables:
        await _move(connection, table, schemas.live, schemas.next)
        await _move(connection, table, schemas.previous, schemas.live)
    await _become(connection, projection.name, "live", "next")
    await _become(connection, projection.name, "previous", "live")


async def lock_live(connection: Any, projection: Projection[Any]) -> None:
    """Hold the live generation: its projector waits until this transaction ends."""
    await connection.execute(
        "SELECT FROM generations WHERE projection = $1 AND state = 'live' FOR UPDATE",
        projection.name,
    )


_CARRY_NUMBERS: Final = """
UPDATE checkpoints AS built SET relay_seq = live.relay_seq
FROM checkpoints AS live, generations AS g, generations AS n
WHERE g.projection = $1 AND g.state = 'live' AND n.projection = $1 AND n.state = 'next'
    AND live.projection = $1 AND live.generation = g.generation
    AND built.projection = $1 AND built.generation = n.generation
    AND (built.topic, built.partition, built.next_offset)
        = (live.topic, live.partition, live.next_offset)
    AND built.relay_seq IS NULL
"""
"""A lane that was rebuilt from the log alone knows no numbers; the live one, at the same offset,
does."""


async def _has(connection: Any, projection: str, state: str) -> bool:
    query = "SELECT EXISTS (SELECT FROM generations WHERE projection = $1 AND state = $2)"
    return bool(await connection.fetchval(query, projection, state))


async def _become(connection: Any, projection: str, old: str, new: str) -> None:
    """Give an edition another state; what it could not apply stays aside with it."""
    done = await connection.execute(
        "UPDATE generations SET state = $3 WHERE projection = $1 AND state = $2",
        projection,
        old,
        new,
    )
    if done != "UPDATE 1":
        raise NoSuchEdition(f"{projection} has no {old} edition")
    names = Edition(old).parking(projection), Edition(new).parking(projection)
    for statement in _MOVE_LETTERS:
        await connection.execute(statement, *names)
    await connection.execute("DELETE FROM parked_streams WHERE projection = $1", names[0])


_MOVE_LETTERS: Final = (
    """INSERT INTO parked_streams
    SELECT $2, tenant, stream, reason, error, parked_at, attempts FROM parked_streams
    WHERE projection = $1""",
    "UPDATE parked SET projection = $2 WHERE projection = $1",
)


async def _lock_tables(
    connection: Any, projection: Projection[Any], schemas: Sequence[str]
) -> None:
    """Take every table at once, or fail before a deadlock could be found."""
    await connection.execute("SET LOCAL lock_timeout = '400ms'")
    names = ", ".join(f"{schema}.{table}" for schema in schemas for table in projection.tables)
    await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")


async def _move(connection: Any, table: str, old: str, new: str) -> None:
    await connection.execute(f"ALTER TABLE {old}.{table} SET SCHEMA {new}")


async def _secure_like(connection: Any, schemas: Schemas, table: str) -> None:
    """Grants, row-level security and its policies, which LIKE does not copy."""
    name = f"{schemas.next}.{table}"
    if schemas.role:
        await connection.execute(
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO "{schemas.role}"'
        )
    secured, forced = await connection.fetchrow(_SECURED, schemas.live, table)
    if secured:
        await connection.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    if forced:
        await connection.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    for policy in await connection.fetch(_POLICIES, schemas.live, table):
        check = f" WITH CHECK ({policy['with_check']})" if policy["with_check"] else ""
        using = f" USING ({policy['qual']})" if policy["qual"] else ""
        roles = ", ".join(f'"{role}"' if role != "public" else role for role in policy["roles"])
        await connection.execute(
            f"CREATE POLICY {policy['policyname']} ON {name} AS {policy['permissive']}"
            f" FOR {policy['cmd']} TO {roles}{using}{check}"
        )
