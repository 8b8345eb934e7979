"""Personal columns of read models: declared in the table, and erased when a person is forgotten."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Column, String, Table, Update, bindparam, cast, update

from libs.postgres import query
from libs.postgres.pool import Connection
from libs.security.data_keys import Subject

PERSONAL: Final = "personal"


def personal(of: str) -> dict[str, Any]:
    """The `info` of a column that holds a text about the person whose id is in the column `of`.

    `Column("recipient_name", Text, info=personal(of="recipient_id"))`. A forgotten person's text
    becomes null, or empty if the column is not nullable.
    """
    return {PERSONAL: of}


def personal_columns(table: Table) -> Mapping[str, list[Column[Any]]]:
    """The personal columns of a table by the column that holds their person's id.

    Raises `ValueError` if that column is missing, or a column that is not nullable is no text.
    """
    columns: dict[str, list[Column[Any]]] = {}
    for column in table.columns:
        if (of := column.info.get(PERSONAL)) is None:
            continue
        if of not in table.columns or "tenant" not in table.columns:
            raise ValueError(f"{table.name}.{column.name} does not say whose text it is")
        if not column.nullable and not isinstance(column.type, String):
            raise ValueError(f"{table.name}.{column.name} cannot be erased: make it nullable")
        columns.setdefault(of, []).append(column)
    return columns


async def erase(connection: Connection, tables: Iterable[Table], subject: Subject) -> int:
    """Overwrite the personal columns of a person in these tables. Returns how many rows changed.

    The old texts stay in the files of the tables until `purge`.
    """
    count = 0
    for table in tables:
        for of, columns in personal_columns(table).items():
            statement = _erasure(table, of, columns)
            values = {"for_tenant": subject.tenant, "for_subject": subject.id}
            done = await query.execute(connection, statement, **values)
            count += int(done.rpartition(" ")[2])
    return count


def _erasure(table: Table, of: str, columns: Iterable[Column[Any]]) -> Update:
    id_column = table.columns[of]
    return (
        update(table)
        .where(
            table.columns["tenant"] == bindparam("for_tenant"),
            id_column == cast(bindparam("for_subject", type_=String), id_column.type),
        )
        .values({column.name: None if column.nullable else "" for column in columns})
    )
