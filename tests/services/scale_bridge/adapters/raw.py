"""A scale's client that says byte by byte what a test wants said."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5
from typing import Literal

from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.adapters.wire import framed, packet

PASSWORD = b"1234"


class Client:
    """One connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, code: int, rest: bytes = b"", password: bytes = PASSWORD) -> None:
        """Send a request and do not wait."""
        self.writer.write(framed(packet(code, password + rest)))

    async def hear(self) -> bytes:
        """The body of the next reply."""
        size = int.from_bytes(await self.reader.readexactly(4), "little")
        return await self.reader.readexactly(size)

    async def ask(self, code: int, rest: bytes = b"", password: bytes = PASSWORD) -> bytes:
        """Both, one after the other."""
        self.say(code, rest, password)
        return await self.hear()

    async def announce(
        self, file: bytes, *, clear: bool = True, order: Literal["big", "little"] = "big"
    ) -> bytes:
        digest = md5(file, usedforsecurity=False).digest()
        size = len(file).to_bytes(8, order)
        return await self.ask(
            0x13, b"\x02" + digest + b"\x04" + size + b"\x01" + bytes([not clear])
        )

    async def put(self, offset: int, data: bytes, *, last: bool) -> bytes:
        head = offset.to_bytes(4, "little") + len(data).to_bytes(2, "little")
        return await self.ask(0x13, b"\x03" + bytes([last]) + head + data)

    async def check(self) -> bytes:
        return await self.ask(0x13, b"\x09")


@asynccontextmanager
async def connected(simulator: Simulator) -> AsyncIterator[Client]:
    """A connection to a simulated scale."""
    reader, writer = await asyncio.open_connection(simulator.host, simulator.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
