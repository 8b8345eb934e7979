"""What differs between two versions of a table, held against the rows themselves."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.projections.compare import SAMPLES, TableDiff, compare
from libs.projections.versions import VersionSchemas

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "a", None])), max_size=12)


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE SCHEMA public_next")
    yield connection
    await connection.close()


async def make(owner: Any, columns: str) -> None:
    for schema in ("public", "public_next"):
        await owner.execute(f"CREATE TABLE {schema}.counted ({columns})")


async def compared(owner: Any) -> TableDiff:
    async with owner.transaction(isolation="repeatable_read"):
        (diff,) = await compare(owner, ["counted"], VersionSchemas("public"))
    return diff


async def test_a_changed_a_missing_and_an_added_row_are_found_among_many(owner: Any) -> None:
    await make(
        owner, "id integer PRIMARY KEY, text text, seen integer[], at timestamptz, doc jsonb"
    )
    for schema in ("public", "public_next"):
        await owner.execute(
            f"""INSERT INTO {schema}.counted SELECT n, 'row ' || n, ARRAY[n], to_timestamp(n),
            jsonb_build_object('n', n) FROM generate_series(1, 20000) AS n"""
        )
    diff = await compared(owner)
    assert (diff.same, diff.rows, diff.samples) == (True, 20000, [])

    await owner.execute("UPDATE counted SET seen = '{666}' WHERE id = 7")
    await owner.execute("DELETE FROM counted WHERE id = 20000")
    await owner.execute("INSERT INTO counted VALUES (0)")
    diff = await compared(owner)

    assert (diff.same, diff.rows, diff.only_live, diff.only_next) == (False, 20000, 2, 2)
    samples = [(version, json.loads(row)) for version, row in diff.samples]
    assert sorted((version, row["id"], row["seen"]) for version, row in samples) == [
        ("live", 0, None),
        ("live", 7, [666]),
        ("next", 7, [7]),
        ("next", 20000, [20000]),
    ]


async def test_transaction_ids_are_no_difference(owner: Any) -> None:
    await make(owner, "id integer PRIMARY KEY, changed xid8 DEFAULT pg_current_xact_id()")
    await owner.execute("INSERT INTO public.counted VALUES (1)")
    await owner.execute("INSERT INTO public_next.counted VALUES (1)")

    assert (await compared(owner)).same


async def test_only_a_few_of_many_differences_are_shown(owner: Any) -> None:
    await make(owner, "id integer PRIMARY KEY")
    await owner.execute("INSERT INTO public.counted SELECT generate_series(1, 3000)")

    diff = await compared(owner)

    assert (diff.rows, diff.only_live, diff.only_next) == (0, 3000, 0)
    assert len(diff.samples) == SAMPLES


def test_differences_are_those_of_the_rows_counted_one_by_one(database: str) -> None:
    with asyncio.Runner() as runner:
        owner = runner.run(asyncpg.connect(database))
        runner.run(owner.execute("CREATE SCHEMA public_next"))
        # Without a key, so that rows may be there several times.
        runner.run(make(owner, "n integer, text text"))

        @given(live=ROWS, rebuilt=ROWS)
        def hold(live: list[Any], rebuilt: list[Any]) -> None:
            diff = runner.run(difference(owner, live, rebuilt))
            assert diff.rows == len(rebuilt)
            assert diff.only_live == (Counter(live) - Counter(rebuilt)).total()
            assert diff.only_next == (Counter(rebuilt) - Counter(live)).total()

        hold()
        runner.run(owner.close())


async def difference(owner: Any, live: list[Any], rebuilt: list[Any]) -> TableDiff:
    await owner.execute("TRUNCATE public.counted, public_next.counted")
    for schema, rows in (("public", live), ("public_next", rebuilt)):
        await owner.execute(
            f"INSERT INTO {schema}.counted SELECT * FROM unnest($1::integer[], $2::text[])",
            [n for n, _ in rows],
            [text for _, text in rows],
        )
    return await compared(owner)
