"""When keys were last used."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from services.gateway.adapters.key_uses import KeyUses, last_uses
from services.gateway.domain.caller import Caller

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset())
BEN = Caller(tenant="other", subject=UUID(int=2), scopes=frozenset())


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The gateway's own, on a migrated database."""
    made = await open_pool(
        database,
        role=application_role("gateway"),
        schema="gateway",
        size=2,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    yield made
    await made.close()


class World:
    """A clock to set."""

    def __init__(self, pool: Pool) -> None:
        self.seconds = 0.0
        self.uses = KeyUses(
            pool, clock=lambda: NOON + timedelta(seconds=self.seconds), now=lambda: self.seconds
        )


async def test_uses_are_written_at_most_once_a_minute(pool: Pool) -> None:
    world = World(pool)
    for world.seconds in (0.0, 30.0, 59.0):
        world.uses.seen(ANNA)
    assert await last_uses(pool, "demo") == {}

    world.seconds = 60.0
    world.uses.seen(ANNA)
    async with asyncio.timeout(10):
        while not (written := await last_uses(pool, "demo")):
            await asyncio.sleep(0.01)

    assert written == {ANNA.subject: NOON + timedelta(seconds=60)}


async def test_the_rest_is_written_at_the_end_and_seen_by_its_tenant_only(pool: Pool) -> None:
    world = World(pool)
    world.uses.seen(ANNA)
    world.uses.seen(BEN)

    await world.uses.close()

    assert await last_uses(pool, "demo") == {ANNA.subject: NOON}
    assert await last_uses(pool, "other") == {BEN.subject: NOON}


async def test_of_several_processes_the_latest_use_counts(pool: Pool) -> None:
    late, early = World(pool), World(pool)
    late.seconds = 10.0
    late.uses.seen(ANNA)
    early.uses.seen(ANNA)

    await late.uses.close()
    await early.uses.close()

    assert await last_uses(pool, "demo") == {ANNA.subject: NOON + timedelta(seconds=10)}


async def test_what_could_not_be_written_is_written_later(pool: Pool, database: str) -> None:
    world, owner = World(pool), await asyncpg.connect(database)
    await owner.execute("ALTER TABLE gateway.key_use RENAME TO gone")
    world.uses.seen(ANNA)
    await world.uses.write()
    await owner.execute("ALTER TABLE gateway.gone RENAME TO key_use")
    await owner.close()

    await world.uses.write()

    assert set(await last_uses(pool, "demo")) == {ANNA.subject}
