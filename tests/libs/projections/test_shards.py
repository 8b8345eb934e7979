"""A runner in several shards: whatever happens, each event is applied once and in its order."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from libs.projections.rebuild import Rebuild
from libs.projections.shards import Shard, shard_of, shards_of
from libs.projections.versions import VersionSchemas
from libs.testing.polling import eventually
from tests.libs.messaging.lab import Numbered, order, running
from tests.libs.projections.shop import Shop, open_shop

CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
    AND query LIKE '%projection_checkpoints%' ORDER BY random() LIMIT 1"""


async def shards_there(shop: Shop) -> int:
    query = "SELECT count(*) FROM projection_checkpoints WHERE split_part(name, '#', 1) = 'main'"
    return int(await shop.pool.fetchval(query))


def test_every_stream_and_every_model_without_a_key_belongs_to_one_shard(shop: Shop) -> None:
    ledger, tally = shop.models
    keys = [("demo", order(n)) for n in range(50)]
    for count in (1, 2, 3):
        for model in (ledger, tally):
            owners = [
                [n for n in range(count) if Shard(n, count).applies(model, key)] for key in keys
            ]
            assert [len(each) for each in owners] == [1] * 50
            assert {each[0] for each in owners} == set(shards_of(model, count))
    # It is written down in rows: it must not change.
    assert [shard_of(ledger, key, 3) for key in keys[:6]] == [1, 0, 0, 2, 2, 2]


@pytest.mark.parametrize(
    ("seed", "numbers"), [(0, (1, 2, 3)), (1, (1, 2, 3)), (2, (1, 2, 3)), (3, (3,)), (4, (3,))]
)
async def test_workers_that_die_anywhere_apply_each_event_once_in_any_number_of_shards(
    shop: Shop, seed: int, numbers: Sequence[int]
) -> None:
    dice, written, stop = random.Random(seed), 0, asyncio.Event()

    async def write() -> None:
        nonlocal written
        # With connections of its own, which are not cut.
        async with open_shop(shop.address) as writer:
            while not stop.is_set():
                await writer.append(order(written % 5), Numbered(written))
                written += 1

    async def live_and_die() -> None:
        while not stop.is_set():
            shop.shards = dice.choice(numbers)
            runner, ending = shop.runner(page=dice.choice([3, 20])), asyncio.Event()
            life = asyncio.create_task(runner.run(ending))
            await asyncio.sleep(dice.random() * 0.4)
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    async def cut() -> None:
        admin: Any = await asyncpg.connect(shop.address)
        while not stop.is_set():
            await asyncio.sleep(dice.random() * 0.2)
            await admin.execute(CUT)
        await admin.close()

    async with asyncio.TaskGroup() as group:
        for work in (write(), live_and_die(), live_and_die(), cut()):
            group.create_task(work)
        await asyncio.sleep(6)
        stop.set()
    assert written
    async with running(shop.runner()):
        await shop.applied(written)


async def test_the_number_of_shards_changes_when_all_are_level_and_followers_adopt_it(
    shop: Shop,
) -> None:
    async with AsyncExitStack() as stack:
        for n, shards in enumerate((1, 3, 2, 1)):
            shop.shards = shards
            await stack.enter_async_context(running(shop.runner(page=4)))
            await eventually(lambda: shards_there(shop), shards)
            await shop.append_numbers(range(20 * n, 20 * n + 20))
            await shop.applied(20 * n + 20)


async def test_the_number_of_shards_stays_while_a_read_model_is_detached(shop: Shop) -> None:
    shop.shards = 3
    project, faults = shop.ledger.project, [asyncpg.UndefinedTableError("no such table")]

    async def faulty(connection: Any, events: Any) -> None:
        if faults:
            raise faults[0]
        await project(connection, events)

    shop.ledger.project = faulty  # type: ignore[method-assign]
    async with running(shop.runner()):
        await shop.append_numbers(range(10))
        await eventually(shop.checkpoint_names, {"ledger": "detached/ledger", "tally": "main"})
        await eventually(shop.counted, 10)
    shop.shards = 1
    async with running(shop.runner()):
        await shop.append_numbers(range(10, 20))
        await eventually(shop.counted, 20)
        assert await shards_there(shop) == 3
        faults.clear()
        await shop.applied(20)
        await eventually(lambda: shards_there(shop), 1)


@pytest.mark.parametrize("shards", [3])
async def test_read_models_are_rebuilt_switched_and_rolled_back(shop: Shop) -> None:
    async with running(shop.runner(page=3)):
        await shop.append_numbers(range(40))
        await shop.applied(40)
        both = Rebuild(shop.pool, shop.models, VersionSchemas("public"), service="lab", page=7)
        assert all(table.same for table in await both.build())
        await shop.append_numbers(range(40, 60))
        await both.switch()
        await shop.append_numbers(range(60, 70))
        await shop.applied(70)
        await both.roll_back()
        await shop.append_numbers(range(70, 80))
        await shop.applied(80)
        await eventually(shop.checkpoint_names, {"ledger": "main", "tally": "main"})
