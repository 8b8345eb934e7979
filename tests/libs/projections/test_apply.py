"""One page, one transaction: however often and by however many it is applied, it counts once."""

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.eventsourcing.tail import read_page
from libs.projections import checkpoints
from libs.projections.apply import apply_page
from libs.projections.checkpoints import MAIN, Overtaken
from tests.libs.messaging.lab import Cursed, Numbered, order
from tests.libs.projections.shop import EMPTY, Shop, open_shop


@pytest.fixture(scope="module")
def loop() -> Any:
    """A loop for tests that begin many times, as property tests do."""
    with asyncio.Runner() as runner:
        yield runner


async def test_a_page_that_fails_at_the_end_leaves_nothing(shop: Shop) -> None:
    await shop.append_numbers(range(6))
    shop.tally.statement = "SELECT 1 / 0"
    shop.ledger.cursed = False
    await shop.pool.execute("ALTER TABLE parked_events ADD CHECK (projection <> 'tally')")

    with pytest.raises(asyncpg.CheckViolationError):
        await shop.step()

    assert await shop.rows() == {}
    checkpoint = await checkpoints.read(shop.pool, MAIN)
    assert (checkpoint and checkpoint.cursor.target.xmax) == 1


async def test_of_many_with_the_same_page_one_has_an_effect(shop: Shop) -> None:
    await shop.step()
    await shop.append_numbers(range(30))
    while True:
        steps = [shop.step(page=5) for _ in range(4)]
        answers = await asyncio.gather(*steps, return_exceptions=True)
        if 0 in answers:
            break
        assert sorted(map(str, answers), key=len)[0] == "5"
        assert all(isinstance(one, int | Overtaken) for one in answers)

    assert sum(map(len, (await shop.rows()).values())) == await shop.counted() == 30


async def test_a_checkpoint_that_was_moved_cannot_be_moved_from_its_old_state(shop: Shop) -> None:
    await shop.append_numbers(range(3))
    await shop.step()
    async with shop.pool.acquire() as connection:
        old = await checkpoints.read(connection, MAIN)
        assert old
        await shop.append_numbers(range(3, 6))
        await shop.step()
        page = await read_page(connection, old.cursor, limit=10)
        with pytest.raises(Overtaken):
            await apply_page(connection, shop.models, old, page, service="lab")
    await shop.applied(6)


async def test_a_wrong_call_of_a_projection_is_not_taken_for_a_lost_connection(
    shop: Shop,
) -> None:
    project = shop.ledger.project

    async def wrong(connection: Any, events: Any) -> None:
        if any(envelope.event.n == 1 for envelope in events):
            await connection.fetchval("SELECT $1::int")  # asyncpg: an InterfaceError
        await project(connection, events)

    shop.ledger.project = wrong  # type: ignore[method-assign]
    await shop.append_numbers(range(3))
    await shop.step()

    parked = await shop.pool.fetch("SELECT stream FROM parked_events")
    assert [row["stream"] for row in parked] == [order(1)]
    assert await shop.rows() == {order(0): [0], order(2): [2]}


@given(
    streams=st.lists(st.integers(0, 3), min_size=1, max_size=24),
    cursed=st.sets(st.integers(0, 23), max_size=3),
    pages=st.lists(st.integers(1, 30), max_size=8),
    doubled=st.booleans(),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cut_of_a_history_ends_in_the_same_rows(
    database: str,
    loop: asyncio.Runner,
    streams: list[int],
    cursed: set[int],
    pages: list[int],
    doubled: bool,
) -> None:
    ragged = loop.run(_rows_after(database, streams, cursed, pages, 2 if doubled else 1))
    assert ragged == loop.run(_rows_after(database, streams, cursed, [], 1))


async def _rows_after(
    database: str, streams: list[int], cursed: set[int], pages: list[int], workers: int
) -> Any:
    async with open_shop(database) as shop:
        await shop.pool.execute(EMPTY)
        for n, stream in enumerate(streams):
            await shop.append(order(stream), Cursed(n) if n in cursed else Numbered(n))
        for page in [*pages, 1000, 1000]:
            steps = [shop.step(page=page) for _ in range(workers)]
            await asyncio.gather(*steps, return_exceptions=True)
        parked = "SELECT stream, reason, first_position FROM parked_events ORDER BY stream"
        first = await shop.pool.fetchval("SELECT min(position) FROM events")
        return (
            await shop.rows(),
            await shop.counted(),
            [(row[0], row[1], row[2] - first) for row in await shop.pool.fetch(parked)],
        )
