"""A house whose programs may be killed: supervised, on servers of its own, with one scale to kill.

The scale is simulated in the test's own process: its power can be cut between two bytes, and what
it has is there to be looked at, whatever anybody says of it.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from deploy.demo.office import Account, Office
from deploy.local.files import tail
from deploy.local.ports import free_port
from deploy.local.runtime import read_runtime
from deploy.local.settings import ROOT
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.simulator.products import ProductBase
from services.scale_bridge.adapters.simulator.scale import Options
from services.scale_bridge.adapters.simulator.server import Simulator, open_simulator

PLU: Final = 3
ITEMS: Final = 12
PATIENCE_SECONDS: Final = 150.0
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


@dataclass(frozen=True, slots=True)
class Place:
    """A running installation in a folder."""

    home: Path

    def process(self, name: str) -> dict[str, Any]:
        """What is known of a program."""
        runtime = read_runtime(self.home) or {}
        found: dict[str, Any] = runtime.get("processes", {}).get(name, {})
        return found

    @property
    def url(self) -> str:
        """The gateway's."""
        return str(self.process("gateway-api")["url"])

    async def kill(self, name: str) -> None:
        """For good; the supervisor starts another, which is ready in the end."""
        before = self.process(name)["pid"]
        with suppress(ProcessLookupError):
            os.kill(before, signal.SIGKILL)

        async def back() -> bool:
            now = self.process(name)
            return now.get("pid") not in (None, before) and now.get("state") == "ready"

        await until(back, f"{name} is back", lambda: tail(self.home / "logs" / f"{name}.log"))

    async def ends(self) -> dict[str, int]:
        """How many last words there are about each operation."""
        runtime = read_runtime(self.home) or {}
        connection: Any = await asyncpg.connect(runtime["database_url"])
        try:
            return {row["stream"]: row["ends"] for row in await connection.fetch(ENDS)}
        finally:
            await connection.close()


@contextmanager
def installed(home: Path) -> Iterator[Place]:
    """Everything up, two processes per service, until the end."""
    env = os.environ | {
        "TILLSTREAM_DATA": str(home),
        "TILLSTREAM_PROFILE": "demo",
        "GATEWAY_PORT": str(free_port()),
        "SPLIT": "1",
        **IMPATIENT,
    }
    said = home.with_suffix(".log")
    with said.open("wb") as words:
        running = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "up"],
            cwd=ROOT,
            env=env,
            stdout=words,
            stderr=words,
        )
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "Everything is up" not in said.read_text():
                assert running.poll() is None, said.read_text()
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.2)
            yield Place(home)
        finally:
            running.terminate()
            running.wait(60)
            said.unlink()


@dataclass(kw_only=True, slots=True)
class Scene:
    """One scale, who changes its prices, and the price it shall show. `lies` are moments when the
    flag said clean and the scale showed something else."""

    place: Place
    office: Office
    scale: Simulator
    number: int
    wanted: float | None = None
    lies: list[str] = field(default_factory=list)

    @property
    def shown(self) -> float:
        """What the scale has."""
        return float(next(p["price"] for p in self.scale.base.products if p["pluNumber"] == PLU))

    async def price(self, price: float) -> None:
        """Change it; until that is answered nobody knows which one is wanted."""
        self.wanted = None
        body = {"fields": {"price": price}}
        await self.office.insist("PATCH", f"/devices/{self.number}/products/{PLU}", json=body)
        self.wanted = price

    async def clean(self) -> bool:
        """Whether the device, and the list of devices, say so."""
        wanted = self.wanted
        one = await self.office.ask("GET", f"/devices/{self.number}")
        listed = await self.office.ask("GET", "/devices")
        flags = [one.body["cached_dirty"]] if one.well else []
        if listed.well:
            flags += [d["cached_dirty"] for d in listed.body if d["id"] == self.number]
        settled = wanted is not None and wanted == self.wanted
        if settled and False in flags and self.shown != wanted:
            self.lies.append(f"clean with {self.shown} in place of {wanted}: {flags}")
        return flags == [False, False]

    async def converged(self) -> bool:
        """Whether the scale shows what it shall, and is called clean."""
        return await self.clean() and self.shown == self.wanted


@asynccontextmanager
async def a_scene(place: Place, name: str, *, bridge: str | None = None) -> AsyncIterator[Scene]:
    """A scale that was read, in front of somebody who is logged in."""
    opened = open_simulator(
        ProductBase(catalogue(ITEMS)), options=Options(seconds=REPLY_SECONDS, checking=2)
    )
    async with opened as scale, aiohttp.ClientSession() as session:
        office = Office(session, place.url, ACCOUNT, patience=PATIENCE_SECONDS)
        await office.log_in()
        told = {"name": name, "ip": scale.host, "port": scale.port, "password": "1234"}
        made = await office.insist("POST", "/devices", json={**told, "bridge": bridge})
        scene = Scene(place=place, office=office, scale=scale, number=made.body["id"])
        await office.insist("GET", f"/devices/{scene.number}/products")
        yield scene
        scale.transcript.assert_alone()


async def until(
    holds: Callable[[], Awaitable[bool]], what: str, why: Callable[[], str] = str
) -> None:
    """Wait for something, as long as a restart of everything may take."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"gave up waiting until {what}: {why()}"
        await asyncio.sleep(0.1)
