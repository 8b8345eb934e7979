"""Upserts generated from a table."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from libs.postgres.upsert import Upsert, insert_missing, put_all, upsert

ITEM = Table(
    "item",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger),
    Column("name", Text),
    Column("sum", BigInteger),
    Column("low", Integer),
    Column("high", Integer),
    Column("gone", Boolean),
    Column("at", Integer),
    Column("at_name", Text),
    Column("data", JSONB),
)
CREATE = """
CREATE TABLE item (tenant text, id int, version bigint DEFAULT 0, name text, sum bigint, low int,
    high int, gone boolean, at int, at_name text, data jsonb, PRIMARY KEY (tenant, id))
"""
STATEMENTS = {
    "replace": upsert(ITEM, "name"),
    "insert missing": insert_missing(ITEM, "name"),
    "newer": upsert(ITEM, "version", "name", newer="version"),
    "newer by two": upsert(ITEM, "version", "at", "name", newer=("version", "at")),
    "newer, coalesce, greatest": upsert(
        ITEM, "version", "name", "high", newer="version", coalesce="name", greatest="high"
    ),
    "older": upsert(ITEM, "version", "name", older="version"),
    "older, read first": upsert(ITEM, "version", "name", older="version", read_first=True),
    "coalesce": upsert(ITEM, "name", coalesce="name"),
    "coalesce with a value for null": upsert(ITEM, "at", coalesce="at", absent={"at": 1}),
    "keep": upsert(ITEM, "name", keep="name"),
    "keep with a value for null": upsert(ITEM, "name", keep="name", absent={"name": "a'b"}),
    "add": upsert(ITEM, "sum", add="sum"),
    "extremes": upsert(ITEM, "low", "high", least="low", greatest="high"),
    "either": upsert(ITEM, "gone", either="gone"),
    "insert only": upsert(ITEM, "name", "at_name", insert_only="name"),
    "latest": upsert(ITEM, "sum", "at", "at_name", add="sum", latest={("at",): "at_name"}),
    "json": upsert(ITEM, "data", coalesce="data"),
}
VALUES = {
    "version": st.integers(0, 3),
    "at": st.integers(0, 3),
    "sum": st.integers(-5, 5),
    "name": st.sampled_from([None, "a'b", "ж", ""]),
    "low": st.none() | st.integers(0, 3),
    "high": st.none() | st.integers(0, 3),
    "gone": st.booleans(),
    "at_name": st.sampled_from(["x", "y"]),
    "data": st.sampled_from([None, '{"a": 1}', "[]"]),
}


@pytest.fixture
async def items(database: str) -> Any:
    connection = await asyncpg.connect(database)
    await connection.execute(CREATE)
    yield connection
    await connection.close()


async def rows(connection: Any) -> Any:
    return [dict(row) for row in await connection.fetch("SELECT * FROM item ORDER BY tenant, id")]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Upsert, list[dict[str, Any]]]:
    """A statement, and rows for it."""
    statement = draw(st.sampled_from([*STATEMENTS.values()]))
    key = {"tenant": st.just("t"), "id": st.integers(0, 2)}
    fields = {column: VALUES[column] for column in statement.columns[2:]}
    given_rows = draw(st.lists(st.fixed_dictionaries(key | fields), min_size=1, max_size=8))
    if statement is STATEMENTS["newer, coalesce, greatest"]:
        # The events of a stream, in their order.
        given_rows = [{**row, "version": n} for n, row in enumerate(given_rows, 1)]
    return statement, given_rows


async def written(
    connection: Any, statement: Upsert, pages: Sequence[Sequence[dict[str, Any]]]
) -> Any:
    await connection.execute("DELETE FROM item")
    for page in pages:
        await statement.put(connection, page)
    return await rows(connection)


def test_the_table_does_not_depend_on_how_rows_are_distributed_over_statements(
    database: str,
) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database))
        runner.run(connection.execute(CREATE))

        @settings(max_examples=25 * len(STATEMENTS), deadline=None)
        @given(histories(), st.integers(0, 8))
        def hold(history: tuple[Upsert, list[dict[str, Any]]], cut: int) -> None:
            statement, given_rows = history
            one_by_one = runner.run(written(connection, statement, [[row] for row in given_rows]))
            pages = [given_rows[:cut], given_rows[cut:]]
            assert runner.run(written(connection, statement, pages)) == one_by_one

        hold()
        runner.run(connection.close())


async def changed(connection: Any, statement: Upsert, *given: Sequence[Any]) -> dict[str, Any]:
    """The row after each of `given` was written by a statement of its own."""
    for row in given:
        await statement.put(connection, [("t", 1, *row)])
    (row,) = await rows(connection)
    return {name: row[name] for name in statement.columns[2:]}


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("replace", [("a",), (None,)], [None]),
        ("insert missing", [("a",), ("b",)], ["a"]),
        ("newer", [(1, "a"), (1, "b"), (0, "c")], [1, "a"]),
        ("newer", [(1, "a"), (2, None)], [2, None]),
        ("newer by two", [(1, 2, "a"), (1, 1, "b"), (1, 3, "c")], [1, 3, "c"]),
        ("older", [(2, "a"), (3, "b"), (1, "c"), (1, "d")], [1, "c"]),
        ("older, read first", [(2, "a"), (3, "b"), (1, "c"), (1, "d")], [1, "c"]),
        ("coalesce", [("a",), (None,), ("b",), (None,)], ["b"]),
        ("coalesce with a value for null", [(1,), (2,), (1,)], [2]),
        ("keep", [(None,), ("a",), ("b",)], ["a"]),
        ("keep with a value for null", [("a'b",), ("c",), ("d",)], ["c"]),
        ("add", [(1,), (2,), (-5,)], [-2]),
        ("extremes", [(2, 2), (None, None), (1, 1), (3, 3)], [1, 3]),
        ("either", [(False,), (True,), (False,)], [True]),
        ("insert only", [("a", "x"), ("b", "y")], ["a", "y"]),
        ("latest", [(1, 1, "x"), (1, 3, "y"), (1, 2, "z")], [3, 3, "y"]),
    ],
)
async def test_a_rule_says_which_of_two_values_is_stored(
    items: Any, name: str, given: Sequence[Sequence[Any]], stored: Sequence[Any]
) -> None:
    assert list((await changed(items, STATEMENTS[name], *given)).values()) == stored


async def test_a_row_by_names_may_leave_columns_out(items: Any) -> None:
    await STATEMENTS["extremes"].put(items, [{"tenant": "t", "id": 1, "high": 2, "other": "x"}])

    (row,) = await rows(items)
    assert (row["low"], row["high"]) == (None, 2)


async def test_without_names_a_row_has_all_columns_but_those_with_a_default(items: Any) -> None:
    await items.execute("CREATE SEQUENCE change; ALTER TABLE item ALTER version SET DEFAULT 7")
    statement = upsert(ITEM, default="version")
    assert statement.columns == tuple(name for name in ITEM.columns.keys() if name != "version")  # noqa: SIM118

    await items.execute("ALTER TABLE item ALTER version SET DEFAULT nextval('change')")
    for name in "ab":
        await statement.put(items, [{"tenant": "t", "id": 1, "name": name}])

    (row,) = await rows(items)
    assert (row["name"], row["version"]) == ("b", 2)


async def test_a_condition_is_part_of_the_statement(items: Any) -> None:
    statement = upsert(ITEM, "name", where="excluded.name > known.name")

    assert await changed(items, statement, ("b",), ("a",)) == {"name": "b"}
    assert await changed(items, statement, ("c",)) == {"name": "c"}
    with pytest.raises(asyncpg.CardinalityViolationError):
        await statement.put(items, [("t", 1, "d"), ("t", 1, "e")])


async def test_statements_can_be_parts_of_a_larger_one(items: Any) -> None:
    first, second = STATEMENTS["add"], STATEMENTS["replace"]
    sql = f"""
    WITH added AS ({first.sql(returning="known.id, known.sum")}),
        named AS ({second.sql(first=4, returning="known.id")})
    SELECT added.sum, named.id FROM added, named
    """
    given = first.parameters([("t", 1, 3)]), second.parameters([("t", 2, "a")])

    assert [tuple(row) for row in await items.fetch(sql, *given[0], *given[1])] == [(3, 2)]


async def test_no_rows_need_no_statement() -> None:
    nothing: Any = None
    for statement in STATEMENTS.values():
        await statement.put(nothing, [])
        assert statement.parameters([]) == []
    await put_all(nothing, [])


async def test_rows_of_several_statements_are_written_in_the_order_of_the_statements(
    items: Any,
) -> None:
    only_new, replacing = insert_missing(ITEM, "name"), upsert(ITEM, "name")

    await put_all(items, [(replacing, ("t", 1, "b")), (only_new, ("t", 1, "a"))])

    assert [row["name"] for row in await rows(items)] == ["b"]


async def test_statements_that_write_the_same_rows_in_another_order_do_not_deadlock(
    items: Any, database: str
) -> None:
    statement = STATEMENTS["add"]
    numbers = [("t", n, 1) for n in range(200)]
    other = await asyncpg.connect(database)
    try:
        for _ in range(20):
            await asyncio.gather(
                statement.put(items, numbers), statement.put(other, reversed(numbers))
            )
    finally:
        await other.close()

    assert {row["sum"] for row in await rows(items)} == {40}


def test_an_unknown_rule_or_column_is_refused() -> None:
    with pytest.raises(KeyError):
        upsert(ITEM, "name", newest="name")
    with pytest.raises(KeyError):
        upsert(ITEM, "nobody")
