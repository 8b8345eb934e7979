"""A scale's whole catalogue there and back: the guarded driver beside the wire and the bare driver.

The scale is simulated, in a process of its own, and takes its time for every reply.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any, Final

from scales import Scales  # type: ignore[import-untyped]

from deploy.local import ports
from deploy.local.child import Program
from deploy.local.server import Server
from deploy.local.settings import ROOT
from services.scale_bridge.adapters.driver import open_driver
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.domain.address import Endpoint
from services.scale_bridge.domain.catalogue import Document, written
from tests.bench import wire
from tests.bench.bench import Bench, Loop
from tests.bench.measure import Goal, Measured

REPLY_SECONDS: Final = 0.01
PASSWORD: Final = wire.PASSWORD.decode()
NEAR: Final = Goal(bound=1.5, at_least=False, text="≤ 1.5×")


def run(bench: Bench) -> Iterator[Measured]:
    """Fetch and upload of everything. The bare driver sleeps for so long that once is enough."""
    items = bench.scale.products
    with _scale(bench, items) as port, Loop() as loop:
        yield from _fetches(bench, loop, port, items)
        yield from _uploads(bench, loop, port, catalogue(items))


def _fetches(bench: Bench, loop: Loop, port: int, items: int) -> Iterator[Measured]:
    async def guarded() -> float:
        async with open_driver(lines=1) as driver:
            began = time.perf_counter()
            fetched = await driver.fetch(_endpoint(port), PASSWORD)
            assert fetched.items == items
            return time.perf_counter() - began

    ours, bare = bench.interleaved(loop.side(guarded), lambda: _timed(lambda: wire.fetch(port)))
    yield _row("fetch", items, ours, bare)
    bench.tell("the driver alone fetches")
    peer = _timed(lambda: _driver(port).get_products_json())
    yield _peer("fetch", items, ours, peer)


def _uploads(bench: Bench, loop: Loop, port: int, document: Document) -> Iterator[Measured]:
    file, items = written(document), len(document["products"])

    async def guarded() -> float:
        async with open_driver(lines=1) as driver:
            began = time.perf_counter()
            uploaded = await driver.upload(_endpoint(port), PASSWORD, document, clear=True)
            assert uploaded.items == items
            return time.perf_counter() - began

    ours, bare, alone = bench.interleaved(
        loop.side(guarded),
        lambda: _timed(lambda: wire.upload(port, file)),
        lambda: _timed(lambda: _driver(port).send_json_products(document, True)),
    )
    yield _row("upload", items, ours, bare)
    yield _peer("upload", items, ours, *alone)


def _row(what: str, items: int, ours: list[float], bare: list[float]) -> Measured:
    return Measured(
        name=f"{what} of {items:,} products vs the wire",
        unit="s",
        ours=ours,
        reference=bare,
        goal=NEAR,
        note=f"a scale that takes {REPLY_SECONDS * 1000:g} ms for each reply",
    )


def _peer(what: str, items: int, ours: list[float], *alone: float) -> Measured:
    name = f"{what} of {items:,} products vs the driver alone"
    return Measured(name=name, unit="s", ours=ours, reference=alone)


@contextmanager
def _scale(bench: Bench, items: int) -> Iterator[int]:
    """The port of a simulated scale."""
    port = ports.free_port()
    program = Program(
        name="scale",
        command=(
            *(sys.executable, "-m", "services.scale_bridge", "simulator", "--port", str(port)),
            *("--items", str(items), "--slow", str(REPLY_SECONDS)),
        ),
        log_file=bench.house.home / "logs" / "scale.log",
        ready=lambda: ports.answers(port),
        pulse=lambda: ports.answers(port),
        cwd=ROOT,
    )
    with Server(program=program):
        yield port


def _driver(port: int) -> Any:
    return Scales(ports.LOOPBACK, port, PASSWORD, retries=0)


def _endpoint(port: int) -> Endpoint:
    return Endpoint(IPv4Address(ports.LOOPBACK), port)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
