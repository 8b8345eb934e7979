"""Whose key this is, remembered: fresh, stale, unknown, and while the database is away."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.errors import Unavailable
from libs.testing.clock import Seconds
from libs.testing.waiting import eventually
from services.gateway.adapters.known_keys import KeysUnavailable, KnownKeys
from services.gateway.domain.caller import Caller

ANNA = Caller(tenant="demo", subject=UUID(int=1), scopes=frozenset({"scan:read"}))


class World:
    """A clock, and a database that can be taken away."""

    def __init__(self, expires_in: float | None = None) -> None:
        self.seconds = Seconds()
        until = None if expires_in is None else self.clock() + timedelta(seconds=expires_in)
        self.anna = replace(ANNA, expires_at=until)
        self.callers = {"anna": self.anna}
        self.away = False
        self.look_ups: list[str] = []
        self.slow: asyncio.Event | None = None
        self.keys = KnownKeys(
            self.look_up,
            fresh=10,
            unknown=2,
            stale=60,
            capacity=3,
            now=self.seconds,
            clock=self.clock,
        )

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.seconds.now, UTC)

    async def look_up(self, hashed: str) -> Caller | None:
        self.look_ups.append(hashed)
        if self.slow:
            await self.slow.wait()
        if self.away:
            raise Unavailable
        return self.callers.get(hashed)

    async def meets(self, key: str) -> str:
        """What the gateway takes the holder of the key for."""
        try:
            caller = await self.keys.caller(key)
        except KeysUnavailable:
            return "nobody knows"
        assert caller in (None, self.anna)
        return "stranger" if caller is None else "anna"


@pytest.mark.parametrize(
    ("steps", "look_ups"),
    [
        pytest.param("anna=anna anna=anna anna=anna", 1, id="asked for once while fresh"),
        pytest.param("anna=anna revoke 10 anna=stranger", 2, id="revoked, no longer fresh"),
        pytest.param(
            "anna=anna revoke 10 anna=stranger away 10 anna=nobody", 3, id="revoked, then away"
        ),
        pytest.param(
            "ben=stranger issue ben=stranger 2 ben=anna", 2, id="a stranger, not for long"
        ),
        pytest.param("anna=anna away 30 anna=anna", 2, id="away, seen before"),
        pytest.param("anna=anna away 30 anna=anna anna=anna anna=anna", 2, id="away, asked once"),
        pytest.param("anna=anna away 61 anna=nobody", 2, id="away for too long"),
        pytest.param("away ben=nobody back ben=stranger", 2, id="away, never seen"),
    ],
)
async def test_a_key_is_believed_as_long_as_it_should_be(steps: str, look_ups: int) -> None:
    world = World()
    for step in steps.split():
        match step.split("="):
            case [key, caller]:
                assert (await world.meets(key)).split()[0] == caller, step
            case ["revoke"]:
                del world.callers["anna"]
            case ["issue"]:
                world.callers["ben"] = ANNA
            case ["away" | "back"]:
                world.away = step == "away"
            case _:
                world.seconds.advance(float(step))

    assert len(world.look_ups) == look_ups


async def test_any_number_of_strangers_cannot_push_out_a_caller() -> None:
    world = World()
    await world.meets("anna")

    for number in range(100):
        await world.meets(f"stranger {number}")
    world.look_ups.clear()

    assert await world.meets("anna") == "anna"
    assert world.look_ups == []


async def test_requests_with_the_same_key_share_one_question_even_if_one_gives_up() -> None:
    world = World()
    world.slow = asyncio.Event()
    waiting = [asyncio.create_task(world.keys.caller("anna")) for _ in range(3)]
    await eventually(lambda: world.look_ups)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)

    world.slow.set()

    assert await asyncio.gather(*waiting[1:]) == [ANNA, ANNA]
    assert world.look_ups == ["anna"]


@pytest.mark.parametrize(("expires_in", "away"), [(5, False), (20, True)])
async def test_a_key_that_ran_out_opens_nothing_from_that_moment(
    expires_in: float, *, away: bool
) -> None:
    """Whatever is remembered of it, and also if it cannot be looked up."""
    world = World(expires_in)
    assert await world.meets("anna") == "anna"
    world.away = away

    world.seconds.advance(expires_in - 1)
    assert await world.meets("anna") == "anna"
    world.seconds.advance(1)
    assert await world.meets("anna") == "stranger"
    assert away or world.look_ups == ["anna"]
