"""Whatever is asked of a scale, in whatever order: what is stored is a catalogue, and the flag is
true (R26)."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import AsyncClient, Response

from contracts.scale_bridge import OperationEnded, OperationQueued
from libs.postgres.pool import acquired
from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.domain import catalogue
from services.scale_bridge.domain.showing import wrong
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    Inside,
    dirty,
    eventually,
    fetched,
    patch,
    registered,
    working,
)

ITEMS = 6
ROUNDS = 10
AT_ONCE = 3
FAULTS: tuple[list[str], ...] = (
    *([], [], [], []),
    *(["lostack"], ["check2*1"], ["lie"], ["badhash*1"], ["rst:13/09*1"], ["rst:12/03*1"]),
    *(["power:13/09:0.05"], ["power:12/07:0.05"], ["nan*1"], ["busy*1"]),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Somebody, two scales, and a device that is one of them at a time."""

    made: Inside
    anna: AsyncClient
    scales: tuple[Simulator, Simulator]
    number: int
    rng: random.Random

    @property
    def at(self) -> str:
        return f"/devices/{self.number}"

    def asks(self) -> Coroutine[Any, Any, Response]:
        """Something that may be asked of a device."""
        ways: tuple[Callable[[], Coroutine[Any, Any, Response]], ...] = (
            lambda: self.anna.get(f"{self.at}/products"),
            lambda: self.anna.get(f"{self.at}/products/cached"),
            lambda: patch(self.anna, self.number, self._plu(), price=self.rng.randrange(900)),
            lambda: patch(self.anna, self.number, self._plu(), price=self.rng.randrange(900)),
            lambda: patch(self.anna, self.number, self._plu(), pluNumber=self._plu()),
            lambda: patch(self.anna, self.number, self._plu(), price="free"),
            lambda: self.anna.post(f"{self.at}/upload"),
            lambda: self.anna.post(f"{self.at}/upload"),
            lambda: self.anna.post(f"{self.at}/verify"),
            lambda: self.anna.put(self.at, json={"port": self.rng.choice(self.scales).port}),
            lambda: self.anna.put(self.at, json={"description": str(self.rng.random())}),
            lambda: self.anna.post(f"{self.at}/revisions/{self.rng.randrange(1, 9)}/revert"),
            lambda: self.anna.post(f"{self.at}/operations", json={"kind": self._kind()}),
        )
        return self.rng.choice(ways)()

    def _plu(self) -> int:
        return self.rng.randrange(1, ITEMS + 2)

    def _kind(self) -> str:
        return self.rng.choice(("fetch", "upload", "verify", "probe", "refresh"))


async def is_quiet(made: Inside) -> bool:
    """Whether every operation is over, exactly once, and nobody holds a scale."""
    queued = [event.operation_id for event in await made.events(OperationQueued)]
    ended = [event.operation_id for event in await made.events(OperationEnded)]
    async with acquired(made.deps.desk.pool) as connection:
        held = await connection.fetchval("SELECT count(*) FROM lease WHERE until > now()")
    assert len(ended) == len(set(ended))
    return sorted(queued) == sorted(ended) and held == 0


async def is_true(scene: Scene) -> None:
    """The copy is a catalogue, and if it is called clean, the scale shows it."""
    await scene.made.fresh.caught_up("device")
    device = (await scene.anna.get(scene.at)).json()
    stored = (await scene.anna.get(f"{scene.at}/products/cached")).json()["products"]
    catalogue.check(stored)
    if stored["products"] and not await dirty(scene.anna, scene.number):
        scale = next(one for one in scene.scales if one.port == device["port"])
        assert wrong(stored, scale.base.document) == frozenset()


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_requests_leaves_a_valid_copy_and_a_true_flag(
    database: str, seed: int
) -> None:
    """(R1, R5, R8, R24, R26)"""
    rng = random.Random(seed)
    async with (
        a_scale(ITEMS) as one,
        a_scale(ITEMS - 1) as other,
        working(database, breaker_seconds=0.1) as made,
        made.client() as anna,
    ):
        number = await registered(anna, one)
        await fetched(anna, number)
        scene = Scene(made=made, anna=anna, scales=(one, other), number=number, rng=rng)
        for _ in range(ROUNDS):
            for scale in scene.scales:
                scale.faults.set(rng.choice(FAULTS))
            asked = [scene.asks() for _ in range(rng.randint(1, AT_ONCE))]
            answers = await asyncio.gather(*asked)
            assert {answer.status_code for answer in answers} <= {
                *(200, 202, 400, 404, 409, 422, 502, 503, 504),
            }, [answer.text for answer in answers]
            await eventually(lambda: is_quiet(made))
            await is_true(scene)

        for scale in scene.scales:
            scale.faults.set([])
            await scale.power_on()
        await fetched(anna, number)
        assert (await anna.post(f"{scene.at}/upload")).status_code == 200
        assert await dirty(anna, number) is False
        await is_true(scene)
