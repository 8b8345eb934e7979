"""Live messages are stored in the order in which they become visible, and for a while only."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from libs.http import live_messages
from libs.http.live_messages import RETENTION, pruning
from libs.postgres.rls import application_role
from libs.projections.rebuild import Rebuild
from libs.projections.versions import VersionSchemas
from tests.libs.bakery_database import migrate_bakery
from tests.libs.http.live_bakery import SERVICE, Bakery, open_bakery


@pytest.fixture
async def database(empty_database: str) -> str:
    """One with the tables of the bakery."""
    await migrate_bakery(empty_database, live_messages.create_live_messages)
    return empty_database


@pytest.fixture
async def bakery(database: str) -> AsyncIterator[Bakery]:
    """An API process."""
    async with open_bakery(database) as opened:
        yield opened


async def test_old_messages_are_deleted_save_for_the_last_of_a_group(bakery: Bakery) -> None:
    async with bakery.listening() as (counter, _):
        ids = await counter.loaves(*await bakery.bake(3))
    await bakery.bake(tenant="other")
    prune = pruning(bakery.deps.system).run
    await prune()
    assert await bakery.fetch_value("SELECT count(*) FROM live_message") == 6

    hour = RETENTION + timedelta(seconds=1)
    await bakery.execute("UPDATE live_message SET stored_at = stored_at - $1::interval", hour)
    await prune()

    assert await bakery.fetch_value("SELECT count(*) FROM live_message") == 2
    async with bakery.listening(ids[-1]) as (counter, hello):
        assert hello["resumed"]
        assert await bakery.bake() == [5]
        await counter.loaves(5)
    async with bakery.listening(ids[0]) as (_, hello):
        assert not hello["resumed"]


async def test_ids_rise_whatever_the_clock_of_the_log_says(bakery: Bakery) -> None:
    async with bakery.listening() as (counter, _):
        first = await counter.loaves(*await bakery.bake(2))
        await bakery.execute("UPDATE live_message SET id = id + 3600 * 1000000::bigint")
        bakery.app.state.live._feeds.clear()
    async with bakery.listening() as (counter, _):
        later = await counter.loaves(*await bakery.bake(2))

    ids = [int(one) for one in later]
    assert ids == sorted({*ids})
    assert ids[0] > int(first[-1]) + 3_600_000_000


async def test_a_rebuild_makes_messages_of_recent_events_with_the_same_ids(
    bakery: Bakery,
) -> None:
    await bakery.bake(3)
    before = await bakery.deps.system.fetch("SELECT id, type FROM live_message ORDER BY id")
    await bakery.execute("DELETE FROM live_message")
    bakery.projector.position = 0
    await bakery.caught_up()

    after = await bakery.deps.system.fetch("SELECT id, type FROM live_message ORDER BY id")
    assert after == before
    assert len(after) == 4


async def test_clients_of_a_worker_notice_nothing_of_a_rebuild(database: str) -> None:
    owner = {"search_path": "bakery", "tillstream.tenant": "*"}
    async with (
        open_bakery(database, by_worker=True) as bakery,
        asyncpg.create_pool(database, min_size=0, server_settings=owner) as pool,
        bakery.listening() as (counter, _),
    ):
        models = SERVICE.projections(bakery.settings)
        rebuild = Rebuild(
            pool, models, VersionSchemas("bakery", application_role("bakery")), service="bakery"
        )
        await counter.loaves(*await bakery.bake(5))
        [difference] = await rebuild.build()
        before_switch = await bakery.bake(2)
        await rebuild.switch()
        last = (await counter.loaves(*before_switch, *await bakery.bake(2)))[-1]

        async with bakery.listening(last) as (again, hello):
            assert hello["resumed"]
            numbers = await bakery.bake(2)
            assert await counter.loaves(*numbers) == await again.loaves(*numbers)
    assert difference.rows == 7
