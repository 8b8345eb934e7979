"""A scale's whole catalogue there and back: the guarded driver beside the wire and the bare driver.

The scale is simulated, in a process of its own, and takes its time for every reply. The limit is
the same frames on a bare socket, nothing looked at: written down here once more, so that it does
not get slower or faster with what it is a limit of.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import md5
from ipaddress import IPv4Address
from typing import Any, Final

from scales import Scales  # type: ignore[import-untyped]

from deploy.local import ports
from deploy.local.server import Server
from services.scale_bridge.driver.adapters import operation
from services.scale_bridge.driver.adapters.driver import open_driver
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import Document, serialize
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.bench.bench import Bench, Loop
from tests.bench.house import answering
from tests.bench.measure import Goal, Measured

REPLY_SECONDS: Final = 0.01
PASSWORD: Final = "1234"
NEAR: Final = Goal(bound=1.5, at_least=False, text="≤ 1.5×")
CHUNK: Final = 60_000
HEAD: Final = 12
"""Where the data begins in the body of a chunk."""
WORKING: Final = 0xAC
LONG: Final = 255
TIMEOUT_SECONDS: Final = 60


def run(bench: Bench) -> Iterator[Measured]:
    """Fetch and upload of everything. The bare driver sleeps for so long that once is enough."""
    items = bench.scale.products
    with _scale(bench, items) as port, Loop() as loop:
        yield from _fetches(bench, loop, port, items)
        yield from _uploads(bench, loop, port, catalogue(items))


def _fetches(bench: Bench, loop: Loop, port: int, items: int) -> Iterator[Measured]:
    async def guarded() -> float:
        async with open_driver(connections=1) as driver:
            began = time.perf_counter()
            fetched = await driver.run("fetch", operation.fetch, _endpoint(port), PASSWORD)
            assert fetched.items == items
            return time.perf_counter() - began

    ours, bare = bench.interleaved(loop.side(guarded), lambda: _timed(lambda: bare_fetch(port)))
    bench.tell("the driver alone fetches")
    alone = _timed(lambda: _driver(port).get_products_json())
    yield from _rows("fetch", items, ours, bare, alone)


def _uploads(bench: Bench, loop: Loop, port: int, document: Document) -> Iterator[Measured]:
    file, items = serialize(document), len(document["products"])

    async def guarded() -> float:
        async with open_driver(connections=1) as driver:
            began = time.perf_counter()
            sending = partial(operation.upload, document=document, clear=True)
            uploaded = await driver.run("upload", sending, _endpoint(port), PASSWORD)
            assert uploaded.items == items
            return time.perf_counter() - began

    ours, bare, alone = bench.interleaved(
        loop.side(guarded),
        lambda: _timed(lambda: bare_upload(port, file)),
        lambda: _timed(lambda: _driver(port).send_json_products(document, True)),
    )
    yield from _rows("upload", items, ours, bare, *alone)


def _rows(
    what: str, items: int, ours: list[float], bare: list[float], *alone: float
) -> Iterator[Measured]:
    yield Measured(
        f"{what} of {items:,} products vs the wire",
        ours,
        bare,
        unit="s",
        goal=NEAR,
        note=f"a scale that takes {REPLY_SECONDS * 1000:g} ms for each reply",
    )
    yield Measured(f"{what} of {items:,} products vs the driver alone", ours, alone, unit="s")


@contextmanager
def _scale(bench: Bench, items: int) -> Iterator[int]:
    port = ports.free_port()
    file = bench.servers.home / "scale.toml"
    scale = f'[[scales]]\nname="scale"\nport={port}\nitems={items}\nseconds={REPLY_SECONDS}\n'
    file.write_text(scale)
    words = ("services.scale_bridge", "fleet", str(file))
    with Server(program=answering(port, bench.servers.home, "scale", *words)):
        yield port


def _driver(port: int) -> Any:
    return Scales(ports.LOOPBACK, port, PASSWORD, retries=0)


def _endpoint(port: int) -> Endpoint:
    return Endpoint(IPv4Address(ports.LOOPBACK), port)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_fetch(port: int) -> int:
    """Have the file prepared, read its hash and every chunk; the number of bytes."""
    with closing(_connected(port)) as line:
        _ask(line, 0x14)
        while _ask(line, 0x15)[4] == WORKING:
            pass
        _ask(line, 0x12, b"\x06")
        _ask(line, 0x12, b"\x07")
        size, last = 0, False
        while not last:
            body = _ask(line, 0x12, b"\x03")
            size, last = size + len(body) - HEAD, body[5] == 1
        return size


def bare_upload(port: int, file: bytes) -> None:
    """Announce the file, send every chunk, ask until it is imported."""
    digest = md5(file, usedforsecurity=False).digest()
    with closing(_connected(port)) as line:
        announced = b"\x02" + digest + b"\x04" + len(file).to_bytes(8, "big") + b"\x01\x00"
        _ask(line, 0x13, announced)
        for offset in range(0, len(file), CHUNK):
            data = file[offset : offset + CHUNK]
            last = bytes([offset + CHUNK >= len(file)])
            place = offset.to_bytes(4, "little") + len(data).to_bytes(2, "little")
            _ask(line, 0x13, b"\x03" + last + place + data)
        while _ask(line, 0x13, b"\x09")[5] == 1:
            pass


def _connected(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _ask(line: socket.socket, code: int, rest: bytes = b"") -> bytes:
    payload = b"\xff" + bytes([code]) + PASSWORD.encode() + rest
    body = b"\x02" + bytes([min(len(payload), LONG)]) + payload
    line.sendall(len(body).to_bytes(4, "little") + body)
    return _exactly(line, int.from_bytes(_exactly(line, 4), "little"))


def _exactly(line: socket.socket, size: int) -> bytes:
    found = bytearray(size)
    view = memoryview(found)
    while view:
        count = line.recv_into(view)
        if not count:
            raise ConnectionError("the scale hung up")
        view = view[count:]
    return bytes(found)
