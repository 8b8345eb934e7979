"""Filters and sort orders of lists."""

import asyncio
from datetime import date
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Date, Integer, MetaData, Table, Text, select

from libs.postgres import query
from libs.postgres.filters import BadSort, Filters, between, contains, eq, one_of, order_by
from libs.postgres.pool import Pool

SHOP = Table(
    "shop",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", Text),
    Column("address", Text),
    Column("opened", Date),
)
C = SHOP.c
FILTERS = Filters(
    name=eq(C.name),
    ids=one_of(C.id),
    q=contains(C.name, C.address),
    opened=between(C.opened),
)
DAYS = [date(2025, 1, day) for day in range(1, 5)]
ROWS = [
    (1, "Булочная", "Ёлочная 5", DAYS[0]),
    (2, "булочная", "100% улица", DAYS[1]),
    (3, "Shop_1", r"a\b", DAYS[2]),
    (4, "SHOP 1", None, DAYS[3]),
]
CREATE = "CREATE TABLE shop (id int, name text, address text, opened date)"


@pytest.fixture
async def shops(pool: Pool) -> Pool:
    await pool.execute(CREATE)
    await pool.copy_records_to_table("shop", records=ROWS)
    return pool


@pytest.mark.parametrize(
    ("values", "matching"),
    [
        ({}, [1, 2, 3, 4]),
        ({"name": None, "q": None, "other": "x"}, [1, 2, 3, 4]),
        ({"name": "булочная"}, [2]),
        ({"name": ""}, []),
        ({"ids": [1, 3]}, [1, 3]),
        ({"ids": []}, []),
        ({"q": "БУЛОЧ"}, [1, 2]),
        ({"q": "ёлочная"}, [1]),
        ({"q": "%"}, [2]),
        ({"q": "_"}, [3]),
        ({"q": "\\"}, [3]),
        ({"q": "shop"}, [3, 4]),
        ({"q": "shop", "name": "SHOP 1"}, [4]),
        ({"opened": (DAYS[1], DAYS[2])}, [2, 3]),
        ({"opened": (None, DAYS[1])}, [1, 2]),
        ({"opened": (DAYS[3], None)}, [4]),
        ({"opened": (None, None)}, [1, 2, 3, 4]),
    ],
)
async def test_rows_match_all_values_that_are_given(
    shops: Any, values: dict[str, Any], matching: list[int]
) -> None:
    statement = select(C.id).where(FILTERS.where(values)).order_by(C.id)

    assert [row["id"] for row in await query.fetch(shops, statement)] == matching


def test_a_text_is_contained_as_it_is_in_any_case(database: str) -> None:
    texts = st.text("aBжЖёЁ%_\\. ", max_size=4)
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database))
        runner.run(connection.execute(CREATE))

        @settings(max_examples=100, deadline=None)
        @given(texts, texts)
        def hold(text: str, part: str) -> None:
            runner.run(connection.execute("DELETE FROM shop"))
            runner.run(connection.execute("INSERT INTO shop VALUES (1, $1)", text))
            statement = select(C.id).where(FILTERS.where({"q": part}))
            found = runner.run(query.fetchval(connection, statement)) is not None
            assert found == (part.lower() in text.lower())

        hold()
        runner.run(connection.close())


async def test_rows_are_sorted_by_columns_that_are_allowed(shops: Any) -> None:
    allowed = {"opened_at": C.opened, "id": C.id}

    async def sorted_by(sort: str) -> list[int]:
        statement = select(C.id).order_by(*order_by(sort, allowed), C.id)
        return [row["id"] for row in await query.fetch(shops, statement)]

    assert await sorted_by("-opened_at,+id") == [4, 3, 2, 1]
    assert await sorted_by(" opened_at , -id ") == [1, 2, 3, 4]
    assert await sorted_by("") == [1, 2, 3, 4]


@pytest.mark.parametrize("sort", ["name", "-name", "--id", "id,-id", "id;", "id desc"])
def test_any_other_sort_is_refused(sort: str) -> None:
    with pytest.raises(BadSort):
        order_by(sort, {"id": C.id})
