"""Building read models beside the live ones, under load, comparing them, and switching between
them and back: readers notice nothing, and no event is missed or counted twice."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from libs.projections.rebuild import RebuildFailed
from libs.projections.versions import NoSuchVersion, ShapesDiffer
from libs.testing.polling import eventually
from tests.libs.eventsourcing.load import INSERT
from tests.libs.messaging.lab import (
    Cursed,
    Ledger,
    Numbered,
    expected,
    order,
    rows_of_ledger,
    running,
)
from tests.libs.projections.rebuilding import Rewritten, live, reading, rebuild
from tests.libs.projections.shop import Shop

STREAMS = 5


async def switch(shop: Shop, ledger: Ledger | None = None) -> None:
    await rebuild(shop, ledger).build()
    await rebuild(shop, ledger).switch()


async def parked(shop: Shop) -> list[str]:
    query = "SELECT stream FROM parked_events WHERE state = 'live' ORDER BY 1"
    return [row["stream"] for row in await shop.pool.fetch(query)]


async def killed_after(shop: Shop, ledger: Rewritten, pages: int) -> None:
    """A build that is killed when it has applied so many pages."""
    ledger.gate = asyncio.Semaphore(pages)
    building = asyncio.create_task(rebuild(shop, ledger, shop.tally.projection).build())
    await eventually(lambda: ledger.pages, pages)
    await eventually(ledger.gate.locked)
    building.cancel()
    await asyncio.wait([building])
    ledger.gate = None
    ledger.batches.clear()


async def test_models_rebuilt_and_switched_under_load_are_the_same_and_miss_nothing(
    shop: Shop,
) -> None:
    # When a row was written is no difference.
    changed = "ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id()"
    await shop.pool.execute(f"ALTER TABLE ledger {changed}")
    async with live(shop, 150):
        appending = asyncio.create_task(shop.append_numbers(range(150, 400)))
        diffs = await rebuild(shop, None, shop.tally.projection).build()
        assert [(diff.table, diff.same) for diff in diffs] == [("ledger", True), ("tally", True)]
        assert [diff.rows for diff in diffs] == [STREAMS, 1]
        async with reading(shop) as counted:
            await rebuild(shop, None, shop.tally.projection).switch()
        await appending
        await shop.applied(400)
        await shop.append_numbers(range(400, 420))
        await shop.applied(420)

    for one in counted:
        assert one == sorted(one)
        assert min(one) >= 150


async def test_a_corrupted_model_shows_in_the_difference_with_samples(shop: Shop) -> None:
    async with live(shop, 20):
        await shop.pool.execute("UPDATE ledger SET seen = '{666}' WHERE stream = $1", order(1))
        await shop.pool.execute("DELETE FROM ledger WHERE stream = $1", order(2))
        (diff,) = await rebuild(shop).build()

    assert (diff.same, diff.rows, diff.only_live, diff.only_next) == (False, 5, 1, 2)
    assert len(diff.samples) == 3
    assert {version for version, row in diff.samples if "[666]" in row} == {"live"}


async def test_transactions_open_at_the_cut_count_once(shop: Shop) -> None:
    async with live(shop, 20), shop.pool.acquire() as early, shop.pool.acquire() as late:
        for connection, stream in ((early, "order-early"), (late, "order-late")):
            await connection.execute("BEGIN")
            await connection.execute(INSERT, uuid4(), stream, 1)
        ledger = Rewritten(gate=asyncio.Semaphore(1))
        build = asyncio.create_task(rebuild(shop, ledger).build())
        await eventually(lambda: ledger.pages, 1)
        await early.execute("COMMIT")
        ledger.open_gate()
        assert (await build)[0].same
        await late.execute("COMMIT")
        await rebuild(shop).switch()
        await eventually(shop.rows, {**expected(20), "order-early": [1], "order-late": [1]})


async def test_a_build_killed_anywhere_goes_on_by_the_same_command(shop: Shop) -> None:
    async with live(shop, 70):
        ledger = Rewritten()
        for pages in (1, 3, 2):
            await killed_after(shop, ledger, pages)
            assert await shop.rows() == expected(70)
        diffs = await rebuild(shop, ledger, shop.tally.projection).build()
        assert [diff.same for diff in diffs] == [True, True]
        # Of ten pages; each time the last may have been killed with its transaction.
        assert ledger.pages in range(4, 8)
        await rebuild(shop, ledger, shop.tally.projection).switch()
        assert await shop.rows() == expected(70)


@pytest.mark.parametrize("change", ["version", "models", "anew"])
async def test_a_build_broken_off_is_begun_anew_if_something_changed(
    shop: Shop, change: str
) -> None:
    async with live(shop, 70):
        await killed_after(shop, Rewritten(), 5)
        ledger = Rewritten(version=2 if change == "version" else 1)
        others = [] if change == "models" else [shop.tally.projection]
        diffs = await rebuild(shop, ledger, *others).build(anew=change == "anew")
        assert all(diff.same for diff in diffs)
        assert ledger.pages == 10


async def test_a_build_that_is_done_is_not_taken_for_one_broken_off(shop: Shop) -> None:
    async with live(shop, 20):
        await rebuild(shop).build()
        (diff,) = await rebuild(shop, Rewritten(factor=10)).build()
        assert (diff.only_live, diff.only_next) == (5, 5)


async def test_the_second_of_two_rebuilds_of_one_model_is_refused(shop: Shop) -> None:
    async with live(shop, 20):
        ledger = Rewritten(gate=asyncio.Semaphore(1))
        first = asyncio.create_task(rebuild(shop, ledger).build())
        await eventually(lambda: ledger.pages, 1)
        for change in ("build", "switch", "roll_back"):
            with pytest.raises(RebuildFailed, match="ledger is being rebuilt by another"):
                await getattr(rebuild(shop, None, shop.tally.projection), change)()
        ledger.open_gate()
        assert (await first)[0].same
        await rebuild(shop, None, shop.tally.projection).build()


async def test_a_rebuild_that_lost_its_lock_writes_no_more(shop: Shop) -> None:
    holder = (
        "SELECT pid FROM pg_locks JOIN pg_database ON oid = database AND datname ="
        " current_database() WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    )
    async with live(shop, 1), shop.pool.acquire() as connection:
        others = {row[0] for row in await connection.fetch(holder)}
        await shop.append_numbers(range(1, 70))
        ledger = Rewritten(gate=asyncio.Semaphore(2))
        first = asyncio.create_task(rebuild(shop, ledger).build())
        await eventually(lambda: ledger.pages, 2)
        (pid,) = {row[0] for row in await connection.fetch(holder)} - others
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        (diff,) = await rebuild(shop).build()
        ledger.open_gate()
        with pytest.raises(Exception, match="connection"):
            await first
        assert diff.same
        assert await rows_of_ledger(shop.pool, "public_next") == expected(70)


async def test_reads_never_fail_and_never_go_back_while_versions_change(shop: Shop) -> None:
    async with live(shop, 50), reading(shop) as counted:
        for _ in range(3):
            await switch(shop)

    assert sum(map(len, counted)) > 20
    assert {*counted[0], *counted[1]} == {50}


async def test_a_rewritten_projection_differs_is_switched_to_and_back(shop: Shop) -> None:
    tenfold = {stream: [n * 10 for n in numbers] for stream, numbers in expected(20).items()}
    async with live(shop, 20):
        (diff,) = await rebuild(shop, Rewritten(factor=10)).build()
        assert (diff.only_live, diff.only_next) == (5, 5)
        assert await shop.rows() == expected(20)
        await rebuild(shop, Rewritten(factor=10)).switch()
        assert await shop.rows() == tenfold
    await shop.append_numbers(range(20, 40))
    await rebuild(shop).roll_back()
    async with running(shop.runner()):
        await shop.applied(40)


async def test_a_roll_back_catches_up_although_nothing_new_is_appended(shop: Shop) -> None:
    async with live(shop, 20):
        await switch(shop)
        await shop.append_numbers(range(20, 60))
        await shop.applied(60)
        await rebuild(shop).roll_back()
        await shop.applied(60)
        # And forward again, with what was live before as next.
        await rebuild(shop).switch()
        assert await shop.rows() == expected(60)
        await shop.append_numbers(range(60, 70))
        await shop.applied(70)


async def test_parked_streams_move_with_their_version(shop: Shop) -> None:
    await shop.append("order-1", Cursed(1), Numbered(2))
    async with running(shop.runner()):
        await eventually(lambda: parked(shop), ["order-1"])
        (diff,) = await rebuild(shop).build()
        assert diff.same
        await rebuild(shop).switch()
        assert await parked(shop) == ["order-1"]
        await shop.append("order-1", Numbered(3))

        uncursed = Rewritten()
        uncursed.cursed = shop.ledger.cursed = False
        (diff,) = await rebuild(shop, uncursed).build()
        assert (diff.only_live, diff.only_next) == (0, 1)
        assert await parked(shop) == ["order-1"]
        await rebuild(shop, uncursed).switch()
        assert await parked(shop) == []
        await shop.append("order-1", Numbered(4))
        await eventually(shop.rows, {"order-1": [1, 2, 3, 4]})

        await rebuild(shop).roll_back()
        await eventually(lambda: parked(shop), ["order-1"])
        await shop.append("order-1", Numbered(5))
        await shop.append("order-2", Numbered(6))
        await eventually(shop.rows, {"order-2": [6]})


async def test_a_model_that_fails_while_it_is_built_leaves_the_live_one_alone(
    shop: Shop,
) -> None:
    async with live(shop, 20):
        broken = Rewritten()
        await shop.pool.execute("ALTER TABLE ledger ADD COLUMN more text")
        broken.project = _wrong  # type: ignore[method-assign]
        with pytest.raises(RebuildFailed, match="ledger cannot be built"):
            await rebuild(shop, broken).build()
        assert await shop.rows() == expected(20)
        (diff,) = await rebuild(shop).build()
        assert diff.same


async def _wrong(connection: Any, events: Any) -> None:
    await connection.execute("INSERT INTO nowhere VALUES (1)")


async def test_a_model_filled_by_an_older_version_is_live_again_after_a_rebuild(
    shop: Shop,
) -> None:
    async with live(shop, 20):
        pass
    newer = Rewritten(version=2, factor=10)
    async with running(shop.runner(newer.projection, shop.tally.projection)):
        await shop.append_numbers(range(20, 40))
        await eventually(lambda: shop.pool.fetchval("SELECT events FROM tally"), 40)
        assert await shop.rows() == expected(20)
        await switch(shop, newer)
        await shop.append_numbers(range(40, 50))
        tenfold = {stream: [n * 10 for n in numbers] for stream, numbers in expected(50).items()}
        await eventually(shop.rows, tenfold)


async def test_a_next_version_of_other_code_is_not_switched_to(shop: Shop) -> None:
    async with live(shop, 20):
        await rebuild(shop, Rewritten(version=2)).build()
        with pytest.raises(RebuildFailed, match="built by version 2"):
            await rebuild(shop).switch()
        assert await shop.rows() == expected(20)


async def test_a_previous_version_from_before_a_migration_is_refused(shop: Shop) -> None:
    async with live(shop, 20):
        await switch(shop)
        await shop.pool.execute("ALTER TABLE ledger ADD COLUMN more text")
        with pytest.raises(ShapesDiffer, match="more text"):
            await rebuild(shop).roll_back()
        await shop.append_numbers(range(20, 30))
        await shop.applied(30)


async def test_without_another_version_there_is_nothing_to_switch_to(shop: Shop) -> None:
    async with live(shop, 5):
        for change in (rebuild(shop).switch, rebuild(shop).roll_back):
            with pytest.raises(NoSuchVersion):
                await change()

    assert await shop.rows() == expected(5)


async def test_before_a_worker_ever_ran_there_is_nothing_to_rebuild(shop: Shop) -> None:
    with pytest.raises(RebuildFailed, match="never run"):
        await rebuild(shop).build()


async def test_tables_in_use_delay_a_switch_and_do_not_break_it(shop: Shop) -> None:
    async with live(shop, 10):
        await rebuild(shop).build()
        async with shop.pool.acquire() as connection, connection.transaction():
            await connection.fetch("SELECT FROM ledger")
            switching = asyncio.create_task(rebuild(shop).switch())
            await asyncio.wait([switching], timeout=0.6)
            assert not switching.done()
        await switching
        assert await shop.rows() == expected(10)
