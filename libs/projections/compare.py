"""Comparing the next version of a read model with the live one.

Rows are divided into parts by a hash of their contents, which takes one pass over each version and
no sorting. Parts with the same number of rows and the same sum of hashes are equal; only the others
are compared row by row. So equal versions cost one scan each, and the rest grows with the number of
differences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from libs.projections.versions import VersionSchemas

PARTS: Final = 1024
SAMPLES: Final = 5
"""How many differing rows of each version are shown at most."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the present step, how much of it is done, and its total (0 if unknown)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableDiff:
    """The differences of one table: rows of the next version, rows that only one version has, and
    a few of these as pairs of version and JSON.
    """

    table: str
    rows: int
    only_live: int
    only_next: int
    samples: Sequence[tuple[str, str]]

    @property
    def same(self) -> bool:
        """Whether both versions hold exactly the same rows."""
        return not self.only_live and not self.only_next


async def compare(
    connection: Any,
    tables: Sequence[str],
    schemas: VersionSchemas,
    progress: Progress = lambda *_: None,
) -> list[TableDiff]:
    """Compare the versions in this transaction, which must be repeatable read."""
    diffs = []
    for done, table in enumerate(tables):
        progress("comparing", done, len(tables))
        diffs.append(await _compare(connection, table, schemas))
    progress("comparing", len(tables), len(tables))
    return diffs


_COLUMNS: Final = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
    AND atttypid <> 'xid8'::regtype
"""
"""Without transaction ids, which say when a row was written and are no part of its contents."""

_PARTS: Final = """
SELECT hash & {mask} AS part, count(*) AS rows, sum(hash) AS hashes
FROM (SELECT hashtextextended(ROW({columns})::text, 0) AS hash FROM {table}) AS hashed
GROUP BY 1
"""

_DIFFERING: Final = """
SELECT part, live IS NULL OR next IS NULL OR live <> next AS differs, coalesce(next.rows, 0) AS rows
FROM ({live}) AS live FULL JOIN ({next}) AS next USING (part)
"""

_BY_ROW: Final = """
SELECT md5(ROW({columns})::text)::uuid AS id, ctid AS row_at FROM {table}
WHERE hashtextextended(ROW({columns})::text, 0) & {mask} = ANY($1)
"""

_COUNTS: Final = """
WITH differing AS (
    SELECT sum(of_next) AS more, min(row_at) FILTER (WHERE of_next < 0) AS in_live,
        min(row_at) FILTER (WHERE of_next > 0) AS in_next
    FROM (
        SELECT id, -1 AS of_next, row_at FROM ({live}) AS live
        UNION ALL SELECT id, 1, row_at FROM ({next}) AS next
    ) AS rows GROUP BY id HAVING sum(of_next) <> 0
)
SELECT coalesce(-sum(more) FILTER (WHERE more < 0), 0)::bigint AS only_live,
    coalesce(sum(more) FILTER (WHERE more > 0), 0)::bigint AS only_next,
    (array_agg(in_live) FILTER (WHERE more < 0))[:{samples}]::text[] AS of_live,
    (array_agg(in_next) FILTER (WHERE more > 0))[:{samples}]::text[] AS of_next
FROM differing
"""

_SAMPLES: Final = """
SELECT to_jsonb(row)::text
FROM (SELECT {columns} FROM {table} WHERE ctid = ANY($1::text[]::tid[])) AS row
"""


async def _compare(connection: Any, table: str, schemas: VersionSchemas) -> TableDiff:
    columns = await connection.fetchval(_COLUMNS, f"{schemas.live}.{table}")
    live, new = f"{schemas.live}.{table}", f"{schemas.next}.{table}"

    def query_of(query: str, name: str) -> str:
        return query.format(columns=columns, table=name, mask=PARTS - 1)

    parts = await connection.fetch(
        _DIFFERING.format(live=query_of(_PARTS, live), next=query_of(_PARTS, new))
    )
    only_live = only_next = 0
    samples: list[tuple[str, str]] = []
    if differing := [part["part"] for part in parts if part["differs"]]:
        counts = await connection.fetchrow(
            _COUNTS.format(
                live=query_of(_BY_ROW, live), next=query_of(_BY_ROW, new), samples=SAMPLES
            ),
            differing,
        )
        only_live, only_next = counts["only_live"], counts["only_next"]
        for version, name in (("live", live), ("next", new)):
            rows = await connection.fetch(query_of(_SAMPLES, name), counts[f"of_{version}"] or [])
            samples += [(version, row[0]) for row in rows]
    return TableDiff(
        table=table,
        rows=sum(part["rows"] for part in parts),
        only_live=only_live,
        only_next=only_next,
        samples=samples,
    )
