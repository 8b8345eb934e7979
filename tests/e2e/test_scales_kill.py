"""Whatever is killed in the middle of an upload, the scale shows the new price in the end.

Nobody does anything about it: what dies is started again by its supervisor, the scale's power comes
back, and nothing else. `ROUNDS=20` kills each of them so often, with `SEED` at other moments.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.house import Site, open_site
from tests.e2e.scale_site import IMPATIENT, Scene, a_daemon, a_scene, ends

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", "7"))
UPLOAD_SECONDS = 0.8
"""About how long one takes here, reading back included."""
DARK_SECONDS = 0.3
PROGRAMS = ("scale_bridge-worker", "scale_bridge-api", "kafka")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.timeout(900 + 300 * ROUNDS),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Two processes per service. Not below pytest's folder: another run closes that to the
    database's user."""
    with (
        tempfile.TemporaryDirectory(prefix="tillstream-scales-") as home,
        open_site(Path(home), SPLIT="1", **IMPATIENT) as opened,
    ):
        yield opened


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
    sending = asyncio.create_task(scene.office.ask("POST", f"/devices/{scene.number}/upload"))
    await scene.site.eventually(lambda: scene.scale.transcript.count > before, "an upload begins")
    await asyncio.sleep(rng.uniform(0, UPLOAD_SECONDS))
    await strike()
    await scene.site.eventually(scene.converged, f"the scale shows {scene.wanted}")
    await sending


async def rounds(scene: Scene, name: str, strike: Callable[[], Awaitable[None]]) -> None:
    """Strike, and in the end every operation has exactly one last word (R24, R25)."""
    async with watched(scene):
        for n in range(ROUNDS):
            await struck(scene, random.Random(f"{SEED} {name} {n}"), strike)
    assert scene.lies == []

    async def over() -> bool:
        return 0 not in (await ends(scene.site)).values()

    await scene.site.eventually(over, "every operation has ended")
    ended = await ends(scene.site)
    assert len(ended) > ROUNDS
    assert {stream: count for stream, count in ended.items() if count != 1} == {}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_is_killed_in_the_middle_of_an_upload(site: Site, name: str) -> None:
    """(R8, R24, R25, R26)"""
    async with a_scene(site, f"beside {name}") as scene:
        await rounds(scene, name, lambda: site.kill(name))


async def test_the_scale_loses_its_power_in_the_middle_of_an_upload(site: Site) -> None:
    """(R4, R8, R24)"""
    async with a_scene(site, "without power") as scene:

        async def strike() -> None:
            await scene.scale.power_cut()
            await asyncio.sleep(DARK_SECONDS)
            await scene.scale.power_on()

        await rounds(scene, "power", strike)


async def test_the_daemon_on_the_shops_network_is_killed_in_the_middle_of_an_upload(
    site: Site, tmp_path: Path
) -> None:
    """(R8, R24, R25)"""
    async with (
        a_daemon(site, tmp_path / "bridge") as daemon,
        a_scene(site, "behind a bridge", bridge=daemon.id) as scene,
    ):

        async def strike() -> None:
            daemon.kill()

        await rounds(scene, "bridge", strike)
