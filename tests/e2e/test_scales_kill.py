"""Whatever is killed in the middle of an upload, the scale shows the new price in the end.

Nobody does anything about it: what dies is started again by its supervisor, the scale's power comes
back, and nothing else. `ROUNDS=20` kills each of them so often, with `SEED` at other moments.
"""

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.scale_daemon import a_daemon
from tests.e2e.scale_house import Place, Scene, a_scene, installed, until

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", "7"))
UPLOAD_SECONDS = 0.8
"""About how long one takes here, reading back included."""
DARK_SECONDS = 0.3
PROGRAMS = ("scale_bridge-worker", "scale_bridge-api", "kafka")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 150 * ROUNDS)]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A folder of its own. Not below pytest's: another run closes that to the database's user."""
    made = Path(tempfile.mkdtemp(prefix="tillstream-scales-"))
    try:
        with installed(made) as place:
            yield place
    finally:
        shutil.rmtree(made)


@asynccontextmanager
async def watched(scene: Scene) -> AsyncIterator[None]:
    """Look all the time whether the scale is called clean when it is not (R8)."""

    async def look() -> None:
        while True:
            await scene.clean()
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def struck(scene: Scene, rng: random.Random, strike: Callable[[], Awaitable[None]]) -> None:
    """Change a price, send it, and strike while the scale is spoken to; wait until all is well."""
    await scene.price(round(rng.uniform(1, 900), 2))
    before = scene.scale.transcript.count

    async def begun() -> bool:
        return scene.scale.transcript.count > before

    sending = asyncio.create_task(scene.office.ask("POST", f"/devices/{scene.number}/upload"))
    await until(begun, "the upload begins")
    await asyncio.sleep(rng.uniform(0, UPLOAD_SECONDS))
    await strike()
    await until(scene.converged, f"the scale shows {scene.wanted}, not {scene.shown}")
    await sending


async def all_said_once(place: Place) -> None:
    """Every operation has exactly one last word (R24, R25)."""

    async def over() -> bool:
        return 0 not in (await place.ends()).values()

    await until(over, "every operation has ended")
    ends = await place.ends()
    assert len(ends) > ROUNDS
    assert {stream: count for stream, count in ends.items() if count != 1} == {}


async def rounds(scene: Scene, name: str, strike: Callable[[], Awaitable[None]]) -> None:
    async with watched(scene):
        for n in range(ROUNDS):
            await struck(scene, random.Random(f"{SEED} {name} {n}"), strike)
    assert scene.lies == []
    await all_said_once(scene.place)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_is_killed_in_the_middle_of_an_upload(place: Place, name: str) -> None:
    """(R8, R24, R25, R26)"""
    async with a_scene(place, f"beside {name}") as scene:

        async def strike() -> None:
            await place.kill(name)

        await rounds(scene, name, strike)


async def test_the_scale_loses_its_power_in_the_middle_of_an_upload(place: Place) -> None:
    """(R4, R8, R24)"""
    async with a_scene(place, "without power") as scene:

        async def strike() -> None:
            await scene.scale.power_cut()
            await asyncio.sleep(DARK_SECONDS)
            await scene.scale.power_on()

        await rounds(scene, "power", strike)


async def test_the_daemon_on_the_shops_network_is_killed_in_the_middle_of_an_upload(
    place: Place, tmp_path: Path
) -> None:
    """(R8, R24, R25)"""
    async with (
        a_daemon(place, tmp_path / "bridge") as daemon,
        a_scene(place, "behind a bridge", bridge=daemon.id) as scene,
    ):

        async def strike() -> None:
            daemon.kill()

        await rounds(scene, "bridge", strike)
