"""When keys were last used."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from libs.postgres.pool import Pool
from libs.testing.clock import NOON, Seconds
from libs.testing.waiting import eventually
from services.gateway.adapters.key_uses import KeyUses, last_uses
from services.gateway.domain.caller import Caller

ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset())
BEN = Caller(tenant="other", subject=UUID(int=2), scopes=frozenset())


def key_uses(pool: Pool, seconds: Seconds) -> KeyUses:
    """The uses one process counts; `seconds` go by from noon."""
    return KeyUses(pool, clock=lambda: NOON + timedelta(seconds=seconds.now), now=seconds)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds(0.0)


@pytest.fixture
def uses(own_pool: Pool, seconds: Seconds) -> KeyUses:
    return key_uses(own_pool, seconds)


async def test_uses_are_written_at_most_once_a_minute(
    own_pool: Pool, uses: KeyUses, seconds: Seconds
) -> None:
    for seconds.now in (0.0, 30.0, 59.0):
        uses.seen(ANNA)
    assert await last_uses(own_pool, "demo") == {}

    seconds.now = 60.0
    uses.seen(ANNA)

    written = await eventually(lambda: last_uses(own_pool, "demo"))
    assert written == {ANNA.subject: NOON + timedelta(seconds=60)}


async def test_the_rest_is_written_at_the_end_and_seen_by_its_tenant_only(
    own_pool: Pool, uses: KeyUses
) -> None:
    uses.seen(ANNA)
    uses.seen(BEN)

    await uses.close()

    assert await last_uses(own_pool, "demo") == {ANNA.subject: NOON}
    assert await last_uses(own_pool, "other") == {BEN.subject: NOON}


async def test_of_several_processes_the_latest_use_counts(own_pool: Pool) -> None:
    late, early = key_uses(own_pool, Seconds(10.0)), key_uses(own_pool, Seconds(0.0))
    for one in (late, early):
        one.seen(ANNA)

    await late.close()
    await early.close()

    assert await last_uses(own_pool, "demo") == {ANNA.subject: NOON + timedelta(seconds=10)}


async def test_what_could_not_be_written_is_written_later(
    own_pool: Pool, uses: KeyUses, database: str
) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("ALTER TABLE gateway.key_use RENAME TO gone")
    uses.seen(ANNA)
    await uses.write()
    await owner.execute("ALTER TABLE gateway.gone RENAME TO key_use")
    await owner.close()

    await uses.write()

    assert set(await last_uses(own_pool, "demo")) == {ANNA.subject}
