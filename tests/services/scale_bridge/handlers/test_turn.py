"""A scale belongs to one at a time, over all processes, and to nobody for ever (R1)."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import pytest

from libs.postgres.pool import Pool, acquired
from services.scale_bridge.adapters.leases import Leases
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.bootstrap import open_desk
from services.scale_bridge.domain.address import Endpoint
from services.scale_bridge.handlers.turn import NoTurn, TurnLost, having
from tests.services.scale_bridge.at_hand import a_scale, until
from tests.services.scale_bridge.inside import dirty, edited, ended, scale_settings, working

HERE = Endpoint(IPv4Address("10.0.0.5"), 1111)
STEAL = "UPDATE lease SET holder = 'somebody else'"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The database, with the service's rights."""
    async with open_desk(scale_settings(database), size=8) as desk:
        yield desk.pool


async def test_of_many_who_want_a_scale_one_gets_it(pool: Pool) -> None:
    """(R1)"""
    leases = Leases(pool, 30)

    got = await asyncio.gather(*(leases.take(HERE, f"holder {n}") for n in range(20)))

    assert sorted(got) == [False] * 19 + [True]


async def test_a_turn_that_is_not_renewed_runs_out(pool: Pool) -> None:
    """(R1, R25)"""
    leases = Leases(pool, 0.2)
    assert await leases.take(HERE, "dead")
    assert not await leases.take(HERE, "next")
    async with asyncio.timeout(5):
        while not await leases.take(HERE, "next"):
            await asyncio.sleep(0.02)

    assert not await leases.renew(HERE, "dead")
    await leases.give_back(HERE, "dead")
    assert await leases.renew(HERE, "next")


async def test_who_waits_too_long_is_sent_away(pool: Pool) -> None:
    """(R1)"""
    leases = Leases(pool, 30)
    assert await leases.take(HERE, "other")

    with pytest.raises(NoTurn):
        async with having(leases, HERE, "me", wait_seconds=0.1):
            pytest.fail("it was not our turn")


async def test_who_loses_a_turn_is_stopped(pool: Pool) -> None:
    """(R1)"""
    leases = Leases(pool, 4.0)

    async def speak() -> None:
        async with having(leases, HERE, "me", wait_seconds=1), asyncio.timeout(20):
            async with acquired(pool) as connection:
                await connection.execute(STEAL)
            await asyncio.Event().wait()

    with pytest.raises(TurnLost):
        await speak()

    assert not await leases.take(HERE, "me")


async def test_what_a_turn_was_lost_over_is_unknown_and_the_scale_is_let_go(database: str) -> None:
    """(R1, R4)"""
    async with (
        a_scale(4) as scale,
        working(database, lease_seconds=4.0, reply_seconds=30) as made,
        made.client() as anna,
    ):
        number = await edited(anna, scale)
        scale.faults.set(["mute:13/02"])
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "upload"})
        await until(lambda: Step.ANNOUNCE in list(scale.transcript.steps()))
        async with acquired(made.deps.desk.pool) as connection:
            await connection.execute(STEAL)
        job = await ended(anna, ordered)
        await made.fresh.wait("device", "")

        assert (job["outcome"], job["code"]) == ("unknown", "Interrupted")
        assert await dirty(anna, number) is True
        assert scale.open_connections == 0
