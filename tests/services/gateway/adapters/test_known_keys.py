"""Whose key this is, remembered."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from libs.errors import Unavailable
from services.gateway.adapters.known_keys import KeysUnavailable, KnownKeys
from services.gateway.domain.caller import Caller

ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:read"}))


class World:
    """A clock, and a database that can be taken away."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.away = False
        self.callers = {"anna": ANNA}
        self.asked: list[str] = []
        self.slow: asyncio.Event | None = None
        self.keys = KnownKeys(
            self.look_up,
            fresh=10,
            unknown=2,
            stale=60,
            capacity=3,
            now=lambda: self.now,
            clock=lambda: datetime.fromtimestamp(self.now, UTC),
        )

    async def look_up(self, hashed: str) -> Caller | None:
        self.asked.append(hashed)
        if self.slow:
            await self.slow.wait()
        if self.away:
            raise Unavailable
        return self.callers.get(hashed)


async def test_a_caller_is_asked_for_once_while_fresh() -> None:
    world = World()

    assert [await world.keys.caller("anna") for _ in range(3)] == [ANNA, ANNA, ANNA]

    assert world.asked == ["anna"]


async def test_a_revoked_key_opens_nothing_once_it_is_no_longer_fresh() -> None:
    world = World()
    await world.keys.caller("anna")
    del world.callers["anna"]

    world.now += 10

    assert await world.keys.caller("anna") is None


async def test_a_key_seen_revoked_is_not_believed_again_when_the_database_goes_away() -> None:
    world = World()
    await world.keys.caller("anna")
    del world.callers["anna"]
    world.now += 10
    await world.keys.caller("anna")
    world.away = True

    world.now += 10

    with pytest.raises(KeysUnavailable):
        await world.keys.caller("anna")


async def test_a_stranger_is_remembered_for_a_short_time_only() -> None:
    world = World()
    assert await world.keys.caller("ben") is None
    world.callers["ben"] = ANNA
    assert await world.keys.caller("ben") is None

    world.now += 2

    assert await world.keys.caller("ben") == ANNA


async def test_without_the_database_a_caller_seen_before_is_still_believed() -> None:
    world = World()
    await world.keys.caller("anna")
    world.away = True

    world.now += 30

    assert await world.keys.caller("anna") == ANNA


async def test_without_the_database_it_is_not_asked_on_every_request() -> None:
    world = World()
    await world.keys.caller("anna")
    world.away = True
    world.now += 30

    for _ in range(5):
        await world.keys.caller("anna")

    assert world.asked == ["anna", "anna"]


async def test_without_the_database_nobody_is_believed_for_ever() -> None:
    world = World()
    await world.keys.caller("anna")
    world.away = True

    world.now += 61

    with pytest.raises(KeysUnavailable):
        await world.keys.caller("anna")


async def test_without_the_database_an_unknown_key_is_neither_good_nor_bad() -> None:
    world = World()
    world.away = True

    with pytest.raises(KeysUnavailable):
        await world.keys.caller("ben")

    world.away = False
    assert await world.keys.caller("ben") is None


async def test_any_number_of_strangers_cannot_push_out_a_caller() -> None:
    world = World()
    await world.keys.caller("anna")

    for number in range(100):
        await world.keys.caller(f"stranger {number}")
    world.asked.clear()
    await world.keys.caller("anna")

    assert world.asked == []


async def test_requests_with_the_same_key_share_one_question_even_if_one_gives_up() -> None:
    world = World()
    world.slow = asyncio.Event()
    waiting = [asyncio.create_task(world.keys.caller("anna")) for _ in range(3)]
    while not world.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)

    world.slow.set()

    assert await asyncio.gather(*waiting[1:]) == [ANNA, ANNA]
    assert world.asked == ["anna"]


async def test_a_key_that_runs_out_opens_nothing_from_that_moment_whatever_is_remembered() -> None:
    world = World()
    until = datetime.fromtimestamp(world.now + 5, UTC)
    short = world.callers["anna"] = replace(ANNA, expires_at=until)

    assert await world.keys.caller("anna") == short
    world.now += 4
    assert await world.keys.caller("anna") == short
    world.now += 1
    assert await world.keys.caller("anna") is None
    assert world.asked == ["anna"]


async def test_a_key_that_ran_out_is_not_believed_because_the_database_is_away() -> None:
    world = World()
    until = datetime.fromtimestamp(world.now + 20, UTC)
    world.callers["anna"] = replace(ANNA, expires_at=until)
    await world.keys.caller("anna")
    world.away = True

    world.now += 15
    assert await world.keys.caller("anna") is not None
    world.now += 5
    assert await world.keys.caller("anna") is None
