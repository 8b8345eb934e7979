"""SQLAlchemy Core queries run by asyncpg."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import InvalidRequestError

from libs.errors import Unavailable
from libs.postgres.pool import Pool, open_pool
from libs.postgres.query import (
    compiled,
    execute,
    fetch,
    fetch_page,
    fetchrow,
    fetchval,
    row_as,
    values_for,
)

BOX = Table(
    "box",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("code", Text),
    Column("amount", Integer),
    Column("at", DateTime(timezone=True)),
    Column("data", JSONB),
    Column("tags", ARRAY(Text)),
)
AT = datetime(2030, 1, 1, tzinfo=UTC)
CREATE = (
    "CREATE TABLE box (id uuid, code text, amount int, at timestamptz, data jsonb, tags text[])"
)


@pytest.fixture
async def connection(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    await connection.execute(CREATE)
    yield connection
    await connection.close()


async def add(connection: Any, code: str, items: int, **more: Any) -> UUID:
    made = uuid4()
    row = {"id": made, "code": code, "amount": items, "at": AT, **more}
    await execute(connection, insert(BOX).values(**row))
    return made


async def test_every_kind_of_value_is_returned_unchanged(connection: Any) -> None:
    made = await add(connection, "ящик", 3, data={"a": ["ё", None]}, tags=["x", "y"])

    row = await fetchrow(connection, select(BOX).where(BOX.c.id == made))

    assert row is not None
    assert tuple(row) == (made, "ящик", 3, AT, '{"a": ["ё", null]}', ["x", "y"])


@pytest.fixture
async def boxes(connection: Any) -> Any:
    """A connection to three boxes: one a, two b, three c."""
    for amount, code in enumerate("abc", 1):
        await add(connection, code, amount)
    return connection


async def test_the_same_shape_with_other_literals_gives_other_results(boxes: Any) -> None:
    found = [
        await fetchval(boxes, select(BOX.c.amount).where(BOX.c.code == code)) for code in "abcd"
    ]

    assert found == [1, 2, 3, None]


async def test_a_list_may_have_any_length_each_time(boxes: Any) -> None:
    for codes in (["a"], ["a", "c"], [], ["c", "b", "a", "z"]):
        question = select(BOX.c.code).where(BOX.c.code.in_(codes)).order_by(BOX.c.code)
        rows = await fetch(boxes, question)
        assert [row["code"] for row in rows] == sorted(set(codes) - {"z"})


async def test_a_page_has_its_rows_and_the_number_of_all(boxes: Any) -> None:
    listed = select(BOX.c.code).where(BOX.c.amount < 3).order_by(BOX.c.amount.desc())

    rows, total = await fetch_page(boxes, listed, limit=1, offset=1)

    assert ([row["code"] for row in rows], total) == (["a"], 2)


async def test_parameters_are_filled_by_name_at_every_call(boxes: Any) -> None:
    question = select(BOX.c.code).where(
        BOX.c.amount >= bindparam("least", type_=BigInteger),
        BOX.c.code == any_(bindparam("codes", type_=ARRAY(Text))),
        BOX.c.at == AT,
    )

    found = [
        [row["code"] for row in await fetch(boxes, question, least=least, codes=codes)]
        for least, codes in ((0, ["a", "b"]), (2, ["a", "b"]), (0, ["a"]), (0, []))
    ]

    assert found == [["a", "b"], ["b"], ["a"], []]


async def test_a_parameter_may_be_a_list(boxes: Any) -> None:
    question = select(func.count()).where(BOX.c.code.in_(bindparam("codes", expanding=True)))

    assert await fetchval(boxes, question, codes=["a", "b", "z"]) == 2
    assert await fetchval(boxes, question, codes=["z"]) == 0


async def test_a_parameter_left_out_is_refused(connection: Any) -> None:
    question = select(BOX).where(BOX.c.code == bindparam("code"))

    with pytest.raises(InvalidRequestError):
        await fetch(connection, question)
    with pytest.raises(InvalidRequestError):
        await fetch(connection, question, other=1)


async def test_a_statement_returns_the_number_of_changed_rows(boxes: Any) -> None:
    raised = update(BOX).where(BOX.c.code != "a").values(amount=BOX.c.amount + bindparam("by"))
    assert await execute(boxes, raised, by=5) == "UPDATE 2"
    assert await execute(boxes, delete(BOX)) == "DELETE 3"


async def test_columns_of_an_insert_may_be_parameters(connection: Any) -> None:
    made = await fetchval(
        connection, insert(BOX).returning(BOX.c.code), id=uuid4(), code="a", amount=4
    )

    assert made == "a"
    assert await fetchval(connection, select(BOX.c.amount)) == 4


async def test_an_upsert_works(connection: Any) -> None:
    await connection.execute("CREATE UNIQUE INDEX ON box (code)")
    for items in (1, 2):
        statement = insert(BOX).values(id=uuid4(), code="a", amount=items)
        await execute(
            connection,
            statement.on_conflict_do_update(
                index_elements=["code"],
                set_={"amount": BOX.c.amount + statement.excluded["amount"]},
            ),
        )

    assert await fetchval(connection, select(BOX.c.amount)) == 3


async def test_plain_sql_takes_named_parameters_too(connection: Any) -> None:
    assert await fetchval(connection, text("SELECT :a || '!'").bindparams(a="x")) == "x!"
    assert await fetchval(connection, text("SELECT 1::int")) == 1


async def test_values_are_never_part_of_the_sql(connection: Any) -> None:
    hostile = "'; DROP TABLE box; --"

    sql, values = compiled(select(BOX).where(BOX.c.code == hostile).limit(7), {})

    assert hostile not in sql
    assert values == [hostile, 7]
    await add(connection, hostile, 1)
    assert await fetchval(connection, select(func.count()).where(BOX.c.code == hostile)) == 1


def test_a_shape_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def question(items: int) -> Any:
        return select(BOX.c.id, BOX.c.tags).where(BOX.c.amount == items, BOX.c.code != "once")

    first, _ = compiled(question(1), {})

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr("sqlalchemy.sql.selectable.Select._compiler", refuse)
    assert compiled(question(2), {}) == (first, [2, "once"])
    with pytest.raises(AssertionError):
        compiled(question(2).limit(1), {})


async def test_a_statement_runs_on_a_pool_as_on_a_connection(pool: Pool) -> None:
    await execute(pool, CREATE)
    await execute(pool, "INSERT INTO box (id, code) VALUES ($1, $2)", uuid4(), "a")

    assert await fetchval(pool, "SELECT code FROM box WHERE code = $1", "a") == "a"
    assert await fetchval(pool, select(BOX.c.code).where(BOX.c.code == bindparam("a")), a="a")
    assert await fetchrow(pool, "SELECT 1 WHERE false") is None
    assert [tuple(row) for row in await fetch(pool, "SELECT $1::int, $2::int", 1, 2)] == [(1, 2)]


async def test_without_a_server_a_statement_on_a_pool_is_unavailable() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    pool = await open_pool(
        nowhere, role=None, schema="x", size=1, application_name="test", connect_now=False
    )

    with pytest.raises(Unavailable):
        await fetchval(pool, "SELECT 1")
    await pool.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A box as the code has it."""

    code: str
    amount: int
    label: str = ""


async def test_a_row_becomes_a_dataclass_and_an_event_becomes_values_by_their_names(
    connection: Any,
) -> None:
    values = values_for(BOX, Packed(code="a", amount=2), id=(made := uuid4()))
    assert values == {"id": made, "code": "a", "amount": 2}
    await execute(connection, insert(BOX).values(**values))

    row = await fetchrow(connection, select(BOX))

    assert row is not None
    assert row_as(Packed, row, label="x") == Packed(code="a", amount=2, label="x")
    assert row_as(Packed, row, label="", amount=3).amount == 3
