"""How is an operator's name written?

All other tables hold the `libs.names.comparable` name, which all spellings share. Displayed is the
spelling that was received first, then scanned first, in whatever order the events arrive.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    MetaData,
    Table,
    Text,
    func,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause

from libs.names import comparable
from libs.postgres import query
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection

OPERATOR_NAME: Final = Table(
    "operator_name",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("operator", Text, primary_key=True),
    Column("spelling", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("scanned_at", DateTime(timezone=True), nullable=False),
)
"""Every spelling, and when it was first received and scanned."""

Spellings: TypeAlias = dict[tuple[str, str, str], tuple[datetime, datetime]]
"""Tenant, operator, spelling → received, scanned."""

SAVE: Final = upsert(OPERATOR_NAME, older=("received_at", "scanned_at"), read_first=True)


def add(spellings: Spellings, tenant: str, name: str, moments: tuple[datetime, datetime]) -> None:
    """Add a spelling with its receive and scan time, or keep the earlier ones."""
    key = (tenant, comparable(name), name)
    if key not in spellings or moments < spellings[key]:
        spellings[key] = moments


DISPLAYED: Final = """
SELECT DISTINCT ON (operator) operator, spelling FROM operator_name
WHERE tenant = $1 AND operator = ANY($2::text[]) AND operator <> ''
ORDER BY operator, received_at, scanned_at, spelling
"""


async def store(connection: Connection, spellings: Spellings) -> None:
    """Store the first times of each spelling."""
    await SAVE.put(connection, rows_of(spellings))


def rows_of(spellings: Spellings) -> Iterator[tuple[Any, ...]]:
    """The rows of `OPERATOR_NAME`."""
    return ((*key, *moments) for key, moments in spellings.items())


async def display_names(connection: Any, tenant: str, operators: Iterable[str]) -> dict[str, str]:
    """The displayed name of each of `operators`, which are comparable names."""
    names = list(operators)
    if not names:
        return {}
    rows = await query.fetch(connection, DISPLAYED, tenant, names)
    return {name: name for name in names} | {row["operator"]: row["spelling"] for row in rows}


async def spellings_at(
    connection: Any, tenant: str, operators: Iterable[str], *, schema: str, at: datetime
) -> Spellings:
    """The spellings of these operators received by the instant `at`, from the table in `schema`."""
    rows = await connection.fetch(
        f"SELECT * FROM {schema}.operator_name"  # noqa: S608
        " WHERE tenant = $1 AND operator = ANY($2::text[]) AND received_at <= $3",
        tenant,
        list(operators),
        at,
    )
    return {
        (tenant, row["operator"], row["spelling"]): (row["received_at"], row["scanned_at"])
        for row in rows
    }


def with_spelling(
    rows: Any, *names: str, source: FromClause | None = None
) -> tuple[list[ColumnElement[Any]], FromClause]:
    """The columns of `rows` with displayed names in the columns `names`, and their FROM clause.

    `source` is the FROM clause of `rows`, by default `rows` itself.
    """
    joined: FromClause = rows if source is None else source
    columns = {column.name: column for column in rows.c}
    for name in names:
        first = _first(rows.c.tenant, rows.c[name], f"first_{name}")
        joined = joined.outerjoin(first, true())
        columns[name] = func.coalesce(first.c.spelling, rows.c[name]).label(name)
    return list(columns.values()), joined


def _first(
    tenant: ColumnElement[str], operator: ColumnElement[str], name: str
) -> LateralFromClause:
    known = OPERATOR_NAME.alias(f"{name}_known")
    # An empty name stays empty, however many blanks were typed.
    same = (known.c.tenant == tenant, known.c.operator == operator, operator != "")
    order = (known.c.received_at, known.c.scanned_at, known.c.spelling)
    return select(known.c.spelling).where(*same).order_by(*order).limit(1).lateral(name)
