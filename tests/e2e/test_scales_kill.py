"""Whatever is killed in the middle of an upload, the scale shows the new price in the end.

Nobody does anything about it: what dies is started again by its supervisor, the scale's power comes
back, and nothing else. The scale is simulated in the test's own process: its power can be cut
between two bytes, and what it has is there to be looked at, whatever anybody says of it.
`ROUNDS=20` kills each of them so often, with `SEED` at other moments.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from deploy.demo.office import Account, OfficeClient
from deploy.local.files import tail
from deploy.local.runtime import read_runtime
from deploy.local.settings import ROOT
from libs.postgres.pool import SYSTEM
from libs.testing.polling import PATIENCE_SECONDS, eventually
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.adapters.scale import Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.e2e.house import Site, open_site

PLU: Final = 3
ITEMS: Final = 12
REPLY_SECONDS: Final = 0.05
IMPATIENT: Final = {
    "GATEWAY_RATE_LIMIT_DASHBOARD": "",
    "GATEWAY_RATE_LIMIT_LOGIN": "",
    "SCALE_BRIDGE_HEAL_FIRST_SECONDS": "1",
    "SCALE_BRIDGE_HEAL_LONGEST_SECONDS": "5",
    "SCALE_BRIDGE_LEASE_SECONDS": "5",
    "SCALE_BRIDGE_OPERATION_SECONDS": "20",
    "SCALE_BRIDGE_BREAKER_SECONDS": "2",
    "SCALE_BRIDGE_REPLY_SECONDS": "3",
}
"""So that a test does not wait for what people would wait for."""
ACCOUNT: Final = Account(email="killer@shop.example", password="every scale comes back")
ENDS: Final = """
SELECT stream, count(*) FILTER (WHERE type LIKE '%OperationEnded') AS ends
FROM scale_bridge.events WHERE stream LIKE 'operation-%' GROUP BY stream
"""
CODE: Final = re.compile(r"user_code=([A-Z0-9-]+)")
CSRF: Final = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
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


async def ends(site: Site) -> dict[str, int]:
    """How many last words there are about each operation."""
    runtime = read_runtime(site.home) or {}
    # Row-level security holds for the owner of the tables, too: this selects all tenants.
    settings = {"tillstream.tenant": SYSTEM}
    connection: Any = await asyncpg.connect(runtime["database_url"], server_settings=settings)
    try:
        return {row["stream"]: row["ends"] for row in await connection.fetch(ENDS)}
    finally:
        await connection.close()


@dataclass(kw_only=True, slots=True)
class Scene:
    """One scale, who changes its prices, and the price it shall show. `lies` are moments when the
    flag said clean and the scale showed something else."""

    site: Site
    office: OfficeClient
    scale: Simulator
    number: int
    price_set: float | None = None
    lies: list[str] = field(default_factory=list)

    @property
    def displayed_price(self) -> float:
        return float(next(p["price"] for p in self.scale.base.products if p["pluNumber"] == PLU))

    async def price(self, price: float) -> None:
        """Change the price; until the response it is unknown which one is set."""
        self.price_set = None
        body = {"fields": {"price": price}}
        await self.office.request("PATCH", f"/devices/{self.number}/products/{PLU}", json=body)
        self.price_set = price

    async def clean(self) -> bool:
        """Whether the device, and the list of devices, say so."""
        price_set = self.price_set
        one = await self.office.send_once("GET", f"/devices/{self.number}")
        listed = await self.office.send_once("GET", "/devices")
        flags = [one.body["cached_dirty"]] if one.well else []
        if listed.well:
            flags += [d["cached_dirty"] for d in listed.body if d["id"] == self.number]
        settled = price_set is not None and price_set == self.price_set
        if settled and False in flags and self.displayed_price != price_set:
            self.lies.append(f"clean with {self.displayed_price} in place of {price_set}: {flags}")
        return flags == [False, False]

    async def converged(self) -> bool:
        """Whether the scale shows what it shall, and is called clean."""
        return await self.clean() and self.displayed_price == self.price_set


@asynccontextmanager
async def a_scene(site: Site, name: str, *, bridge: str | None = None) -> AsyncIterator[Scene]:
    """A scale that was read, in front of an account that is logged in."""
    opened = open_simulator(
        ProductBase(catalogue(ITEMS)), options=Options(seconds=REPLY_SECONDS, checking=2)
    )
    async with opened as scale, an_office(site) as office:
        fields = {"name": name, "ip": scale.host, "port": scale.port, "password": "1234"}
        made = await office.request("POST", "/devices", json={**fields, "bridge": bridge})
        scene = Scene(site=site, office=office, scale=scale, number=made.body["id"])
        await office.request("GET", f"/devices/{scene.number}/products")
        yield scene
        scale.transcript.assert_alone()


@asynccontextmanager
async def an_office(site: Site) -> AsyncIterator[OfficeClient]:
    async with aiohttp.ClientSession() as session:
        office = OfficeClient(session, site.url, ACCOUNT, patience=PATIENCE_SECONDS)
        await office.log_in()
        yield office


@dataclass(kw_only=True, slots=True)
class Daemon:
    """A bridge of its own beside the site, which its owner's system starts again."""

    state: Path
    running: subprocess.Popen[bytes]
    id: str = ""

    def kill(self) -> None:
        """For good; another begins at once."""
        self.running.kill()
        self.running.wait()
        self.running = _daemon(self.state, "--loopback")

    def stop(self) -> None:
        """In order."""
        self.running.terminate()
        self.running.wait(PATIENCE_SECONDS)


@asynccontextmanager
async def a_daemon(site: Site, state: Path) -> AsyncIterator[Daemon]:
    """A daemon that was let in, and is connected."""
    log, enrolling = state.with_suffix(".log"), ("--enrol", "--gateway", site.url, "--name", "ours")
    daemon = Daemon(state=state, running=_daemon(state, "--loopback", *enrolling))

    def output() -> str:
        if (code := daemon.running.poll()) is not None:
            raise RuntimeError(f"the daemon ended ({code}): {tail(log, lines=40)}")
        return log.read_text()

    try:
        async with an_office(site) as office:
            code = await eventually(
                lambda: CODE.search(output()), what="the code of the daemon", progress=output
            )
            await _let_in(site.url, code[1] if code else "")

            async def connected() -> str | None:
                bridges = (await office.request("GET", "/scales/bridges")).body
                return next((one["id"] for one in bridges if one["connected"]), None)

            daemon.id = str(await eventually(connected, progress=output))
        yield daemon
    finally:
        daemon.stop()


def _daemon(state: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = (sys.executable, "-m", "services.scale_bridge", "bridge", "--state", str(state))
    env = os.environ | {"COLUMNS": "200"}
    with state.with_suffix(".log").open("ab") as log:
        return subprocess.Popen([*command, *options], cwd=ROOT, env=env, stdout=log, stderr=log)


async def _let_in(url: str, code: str) -> None:
    """Say yes on the gateway's page."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        page = f"{url}/oauth/device"
        async with browser.get(page) as answer:
            csrf = CSRF.search(await answer.text())
        assert csrf is not None
        form = {"csrf": csrf[1], "user_code": code, "answer": "allow"}
        login = {"email": ACCOUNT.email, "password": ACCOUNT.password}
        async with browser.post(page, data={**form, **login}) as answer:
            assert answer.status == 200, await answer.text()


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

    async def watch() -> None:
        while True:
            await scene.clean()
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(watch())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def struck(scene: Scene, rng: random.Random, strike: Callable[[], Awaitable[None]]) -> None:
    """Change a price, send it, and strike while the scale is spoken to; wait until all is well."""
    await scene.price(round(rng.uniform(1, 900), 2))
    before = scene.scale.transcript.count
    sending = asyncio.create_task(scene.office.send_once("POST", f"/devices/{scene.number}/upload"))
    await scene.site.eventually(lambda: scene.scale.transcript.count > before, "an upload begins")
    await asyncio.sleep(rng.uniform(0, UPLOAD_SECONDS))
    await strike()
    await scene.site.eventually(scene.converged, f"the scale shows {scene.price_set}")
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
