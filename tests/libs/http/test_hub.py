"""Waiters of one process read the database when it rings, and not too often."""

import asyncio

import pytest

from libs.http import hub as hubs
from libs.http.hub import Hub
from libs.postgres.doorbell import APPENDED, PROJECTED, Doorbell
from libs.testing.polling import PATIENCE_SECONDS

LONG = PATIENCE_SECONDS


@pytest.fixture
def doorbell() -> Doorbell:
    """One that rings in this process only."""
    return Doorbell("postgresql://nowhere", "none")


@pytest.fixture(autouse=True)
def as_if_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "DEAF_SECONDS", LONG)


async def test_a_ring_wakes_all_waiters_and_none_is_lost_while_they_read(
    doorbell: Doorbell,
) -> None:
    hub = Hub(doorbell, PROJECTED, pause=0, idle=LONG)
    known = hub.round
    waiting = [asyncio.ensure_future(hub.wait(known)) for _ in range(3)]
    await asyncio.sleep(0)

    doorbell.ring(PROJECTED)

    assert await asyncio.gather(*waiting) == [known + 1] * 3
    doorbell.ring(PROJECTED)
    assert await hub.wait(known + 1) == known + 2


async def test_many_rings_are_few_rounds_and_the_last_ring_begins_one(doorbell: Doorbell) -> None:
    hub = Hub(doorbell, PROJECTED, pause=0.05, idle=LONG)
    began, before = asyncio.get_running_loop().time(), hub.round
    for _ in range(500):
        doorbell.ring(PROJECTED)
        await asyncio.sleep(0.0005)
    known = hub.round
    doorbell.ring(PROJECTED)

    assert await hub.wait(known) == known + 1
    took = asyncio.get_running_loop().time() - began
    assert hub.round - before <= 2 + took / 0.05


async def test_waiters_are_woken_from_time_to_time_without_a_ring(
    doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(doorbell, PROJECTED, pause=0, idle=0.01)
    doorbell.ring(APPENDED)

    assert await hub.wait(hub.round) == 0
    assert await Hub(doorbell, PROJECTED, pause=0, idle=LONG).wait(0, 0.01) == 0
    # And sooner while rings of other processes do not arrive.
    monkeypatch.setattr(hubs, "DEAF_SECONDS", 0.01)
    assert await Hub(doorbell, PROJECTED, pause=0, idle=LONG).wait(0) == 0


async def test_a_closed_hub_gets_no_rings(doorbell: Doorbell) -> None:
    hub = Hub(doorbell, PROJECTED, pause=0, idle=0.01)
    hub.close()
    doorbell.ring(PROJECTED)

    assert await hub.wait(0) == 0
