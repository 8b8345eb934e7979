"""A dead scale is asked seldom, and its users are told at once (R6)."""

from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    eventually,
    registered,
    working,
)


async def test_a_dead_scale_is_asked_seldom(database: str) -> None:
    """(R6)"""
    async with (
        a_scale(3) as scale,
        working(database, breaker_failures=3, breaker_seconds=30) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
    ):
        number = await registered(anna, scale)
        also = await registered(boris, scale)
        scale.faults.set(["idle"])
        for _ in range(3):
            assert (await anna.get(f"/devices/{number}/products")).json()["code"] == "Disconnected"
        called = scale.transcript.connections
        for client, its in ((anna, number), (boris, also)):
            answer = await client.get(f"/devices/{its}/products")
            assert (answer.status_code, answer.json()["code"]) == (503, "CircuitOpen")
            assert int(answer.headers["Retry-After"]) >= 1
        assert scale.transcript.connections == called


async def test_after_the_cool_down_one_is_let_through_and_closes_it(database: str) -> None:
    """(R6)"""
    async with (
        a_scale(3) as scale,
        working(database, breaker_failures=1, breaker_seconds=0.5) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        scale.faults.set(["idle"])
        await anna.get(f"/devices/{number}/products")
        scale.faults.set([])

        async def answers() -> bool:
            return (await anna.get(f"/devices/{number}/products")).status_code == 200

        await eventually(answers)
        assert await answers()


async def test_what_a_scale_says_does_not_open_the_breaker(database: str) -> None:
    """(R6)"""
    async with (
        a_scale(3, "pw") as scale,
        working(database, breaker_failures=1) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        for _ in range(3):
            answer = await anna.get(f"/devices/{number}/products")
            assert answer.json()["code"] == "WrongPassword"


async def test_a_change_of_address_closes_the_breaker(database: str) -> None:
    """(R6)"""
    async with (
        a_scale(3) as dead,
        a_scale(3) as well,
        working(database, breaker_failures=1) as made,
        made.client() as anna,
    ):
        number = await registered(anna, dead)
        dead.faults.set(["idle"])
        await anna.get(f"/devices/{number}/products")
        dead.faults.set([])
        await anna.put(f"/devices/{number}", json={"port": well.port})
        assert (await anna.get(f"/devices/{number}/products")).status_code == 200
        await anna.put(f"/devices/{number}", json={"port": dead.port})
        assert (await anna.get(f"/devices/{number}/products")).status_code == 200
