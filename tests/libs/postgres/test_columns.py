"""Postgres receives columns of rows like lists."""

from datetime import UTC, date, datetime
from uuid import uuid4

import asyncpg
import pytest

from libs.postgres.columns import Column, columns

ROWS = [
    (n, f"ж{n}\n", uuid4(), datetime(2025, 10, 31, 12, 0, n, 7, tzinfo=UTC), date(2025, 1, n + 1))
    for n in range(5)
]
ROWS.append((None, None, None, None, None))  # type: ignore[arg-type]
SELECT = """
SELECT * FROM unnest($1::bigint[], $2::text[], $3::uuid[], $4::timestamptz[], $5::date[])
"""


async def test_rows_arrive_unchanged_however_often_the_columns_are_sent(
    postgres_url: str,
) -> None:
    connection = await asyncpg.connect(postgres_url)
    given = columns(ROWS)
    try:
        for _ in range(3):
            assert [tuple(row) for row in await connection.fetch(SELECT, *given)] == ROWS
            assert await connection.execute(SELECT, *given) == "SELECT 6"
        assert await connection.fetch(SELECT, *(Column(()) for _ in range(5))) == []
    finally:
        await connection.close()


async def test_columns_arrive_when_a_statement_must_be_prepared_again(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("CREATE TEMPORARY TABLE kept (id bigint)")
        insert = "INSERT INTO kept SELECT * FROM unnest($1::bigint[])"
        given = columns([(1,), (2,)])
        await connection.execute(insert, *given)
        await connection.execute("ALTER TABLE kept ALTER COLUMN id TYPE numeric")
        await connection.execute(insert, *given)

        assert [row[0] for row in await connection.fetch("SELECT id FROM kept")] == [1, 2, 1, 2]
    finally:
        await connection.close()


@pytest.mark.parametrize("wrong", ["text", object()])
async def test_an_invalid_value_is_refused_and_the_next_statement_works(
    postgres_url: str, wrong: object
) -> None:
    connection = await asyncpg.connect(postgres_url)
    one = "SELECT * FROM unnest($1::bigint[])"
    try:
        with pytest.raises(asyncpg.DataError):
            await connection.fetch(one, Column([1, wrong]))
        with pytest.raises(asyncpg.PostgresError):
            # Gone through once by someone else, it is an array without its values.
            await connection.fetch(one, _once_iterated())
        assert [row[0] for row in await connection.fetch(one, Column([1, 2]))] == [1, 2]
    finally:
        await connection.close()


def _once_iterated() -> Column:
    column = Column([1, 2])
    assert list(iter(column)) == []
    return column
