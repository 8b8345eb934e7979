"""Exclusive leases, shared by all processes."""

import asyncio

import pytest

from libs.postgres import leases
from libs.postgres.leases import Leases
from libs.postgres.pool import Pool
from libs.testing.polling import eventually


@pytest.fixture
async def lease(pool: Pool) -> Pool:
    for table, definition in leases.TABLES.items():
        await pool.execute(f"CREATE TABLE {table} {definition}")
    return pool


async def test_of_many_that_take_a_lease_at_once_one_has_it(lease: Pool) -> None:
    held = Leases(lease, 60)
    taken = await asyncio.gather(*(held.take("scale", f"holder {n}") for n in range(20)))

    assert sorted(taken) == [False] * 19 + [True]
    assert await held.take("another scale", "holder")


async def test_a_holder_may_take_its_lease_again_and_release_it(lease: Pool) -> None:
    held = Leases(lease, 60)
    assert await held.take("scale", "anna")
    assert await held.take("scale", "anna")
    await held.release("scale", "boris")
    assert not await held.take("scale", "boris")
    await held.release("scale", "anna")
    assert await held.take("scale", "boris")


async def test_an_expired_lease_can_be_taken_and_not_be_renewed_by_its_last_holder(
    lease: Pool,
) -> None:
    short, held = Leases(lease, 0.05), Leases(lease, 60)
    assert await short.take("scale", "dead")
    await eventually(lambda: held.take("scale", "next"))

    assert not await held.renew("scale", "dead")
    await held.release("scale", "dead")
    assert await held.renew("scale", "next")
