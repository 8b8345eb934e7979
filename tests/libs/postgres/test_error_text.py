"""Texts of errors name what failed, and quote no value of a row."""

import asyncpg
import pytest

from libs.postgres.error_text import error_text
from libs.postgres.pool import Pool

MISTAKES: list[tuple[str, str]] = [
    ("INSERT INTO guest VALUES ($1)", "UniqueViolationError"),
    ("INSERT INTO guest VALUES ($1 || 'xxxxx')", "CheckViolationError"),
    ("SELECT $1::text::int", "InvalidTextRepresentationError"),
    ("SELECT $1::int", "DataError"),
]


@pytest.mark.parametrize(("statement", "kind"), MISTAKES, ids=[kind for _, kind in MISTAKES])
async def test_an_error_of_the_database_is_told_without_values(
    pool: Pool, statement: str, kind: str
) -> None:
    await pool.execute("CREATE TABLE guest (name text PRIMARY KEY CHECK (length(name) < 8))")
    await pool.execute("INSERT INTO guest VALUES ('Anna')")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as failed:
        await pool.execute(statement, "Anna")
    assert "Anna" in str(failed.value)

    text = error_text(failed.value)

    assert text.startswith(f"{kind}: ")
    assert "Anna" not in text


async def test_messages_without_values_stay(pool: Pool) -> None:
    with pytest.raises(asyncpg.PostgresError) as failed:
        await pool.execute("SELECT 1 / 0")

    assert error_text(failed.value) == "DivisionByZeroError: division by zero"
    assert error_text(ValueError("no oven")) == "ValueError: no oven"
