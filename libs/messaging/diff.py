"""What a rebuilt read model says differently from the live one, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.messaging.editions import Schemas
from libs.projections.projection import Projection

SAMPLES = 5


_COLUMNS = """
SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
FROM information_schema.columns
WHERE table_schema = $1 AND table_name = $2 AND udt_name <> 'xid8'
"""
"""A transaction's number says when a row was written, not what it says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableDiff:
    """Rows of one table that only one edition has, with a few of them as JSON."""

    table: str
    rows: int
    only_live: int
    only_next: int
    samples: Sequence[tuple[str, str]]

    @property
    def same(self) -> bool:
        """Whether both editions hold exactly the same rows."""
        return not self.only_live and not self.only_next


async def compare(
    connection: Any, projection: Projection[Any], schemas: Schemas
) -> list[TableDiff]:
    """Compare the editions as this transaction's snapshot sees them."""
    return [await _compare_table(connection, schemas, table) for table in projection.tables]


async def _compare_table(connection: Any, schemas: Schemas, table: str) -> TableDiff:
    columns = await connection.fetchval(_COLUMNS, schemas.live, table)
    live, built = (f"SELECT {columns} FROM {one}.{table}" for one in (schemas.live, schemas.next))  # noqa: S608
    missing, added = f"({live} EXCEPT ALL {built})", f"({built} EXCEPT ALL {live})"
    counts = await connection.fetchrow(
        f"SELECT (SELECT count(*) FROM ({built}) AS b) AS rows,"  # noqa: S608
        f" (SELECT count(*) FROM {missing} AS m) AS only_live,"
        f" (SELECT count(*) FROM {added} AS a) AS only_next"
    )
    samples = await connection.fetch(
        f"SELECT 'live' AS edition, to_jsonb(m)::text AS row FROM {missing} AS m"  # noqa: S608
        f" UNION ALL SELECT 'next', to_jsonb(a)::text FROM {added} AS a LIMIT $1",
        SAMPLES,
    )
    return TableDiff(
        table=table,
        rows=counts["rows"],
        only_live=counts["only_live"],
        only_next=counts["only_next"],
        samples=[(row["edition"], row["row"]) for row in samples],
    )
