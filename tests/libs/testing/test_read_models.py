"""The checks of read models find dependence on the order of streams or on batches."""

from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import asyncpg
import pytest

from contracts.envelope import Envelope
from libs.eventsourcing.store import envelope
from libs.testing.read_models import assert_history_decides, assert_tenants_are_isolated, shuffled
from tests.libs.messaging.wires import recorded


def event(number: int, stream: str, version: int | None) -> Envelope[int]:
    return envelope(recorded(number, stream, version=version), number)


HISTORY = [event(n, f"order-{n % 7}", n // 7 + 1) for n in range(140)]
FACTS = [event(n, f"scan-{n % 3}", None) for n in range(200, 260)]


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_keeps_the_order_of_streams_with_versions_and_mixes_the_rest(seed: int) -> None:
    batches = shuffled(Random(seed), [*HISTORY, *FACTS])
    mixed = [one for batch in batches for one in batch]

    versions = [[e.version for e in mixed if e.stream == f"order-{n}"] for n in range(7)]
    assert versions == [[*range(1, 21)]] * 7
    assert sorted(one.event for one in mixed) == [one.event for one in [*HISTORY, *FACTS]]
    assert [one.event for one in mixed if one.version] != [one.event for one in HISTORY]
    assert [one.event for one in mixed if not one.version] != [one.event for one in FACTS]
    assert {0 < len(batch) < 40 for batch in batches[1:]} == {True}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database, min_size=0, max_size=4) as made:
        await made.execute("CREATE TABLE total (stream text PRIMARY KEY, n int, at xid8)")
        await made.execute("CREATE TABLE nothing (n int)")
        yield made


UPSERT = """INSERT INTO total VALUES ($1, $2, pg_current_xact_id())
    ON CONFLICT (stream) DO UPDATE SET n = {}, at = excluded.at"""


async def decide(
    pool: asyncpg.Pool, key: str, value: str, how: str, tables: Sequence[str] = ("total",)
) -> None:
    """Check a model with one row per `key`, which each event updates to the SQL in `how`."""

    async def apply(events: Any) -> None:
        batch = len(events)
        for one in events:
            row = {"stream": one.stream, "all": "all", "event": one.event, "batch": batch}
            await pool.execute(UPSERT.format(how), row[key], row[value])

    await assert_history_decides(pool, apply, [HISTORY], tables, except_columns=["at"])


async def test_a_model_that_depends_on_the_history_alone_passes(pool: asyncpg.Pool) -> None:
    await decide(pool, "stream", "event", "excluded.n")
    await decide(pool, "all", "event", "total.n + excluded.n")


async def test_a_model_that_depends_on_order_or_batches_or_has_no_rows_fails(
    pool: asyncpg.Pool,
) -> None:
    for key, value, how, tables, words in (
        ("all", "event", "excluded.n", ["total"], "history 0, shuffled"),
        ("stream", "batch", "greatest(total.n, excluded.n)", ["total"], "history 0, shuffled"),
        ("stream", "event", "excluded.n", ["total", "nothing"], "leaves a table empty"),
    ):
        with pytest.raises(AssertionError, match=words):
            await decide(pool, key, value, how, tables)


async def test_a_table_without_row_level_security_or_rows_fails(pool: asyncpg.Pool) -> None:
    for words in ("nothing is empty", "nothing"):
        with pytest.raises(AssertionError, match=words):
            await assert_tenants_are_isolated(pool, ["nothing"])
        await pool.execute("INSERT INTO nothing VALUES (1)")
