"""A simulated scale, switched on: it listens, serves connections, and may lose its power."""

import asyncio
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter, Task
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from socket import socket
from typing import Final

from services.scale_bridge.driver.adapters.wire import (
    DONE,
    FRAME_BYTES,
    PREFIX_BYTES,
    NotAPacket,
    Request,
    Step,
    framed,
    read_request,
)
from services.scale_bridge.driver.simulator.answers import answer, ends
from services.scale_bridge.driver.simulator.faults import Fault, Faults
from services.scale_bridge.driver.simulator.port import Port, ended, reset
from services.scale_bridge.driver.simulator.products import ProductBase
from services.scale_bridge.driver.simulator.scale import Memory, Options, Scale
from services.scale_bridge.driver.simulator.transcript import Frame, Transcript

_HUGE: Final = struct.pack("<I", 0x7FFFFFFF)
_ZERO: Final = bytes(4)


class Ended(Exception):
    """The connection is over: a fault wanted it so."""


async def send(writer: StreamWriter, faults: Faults, step: Step | None, body: bytes) -> None:
    """Send a reply, or what is left of it. Raises Ended, ConnectionError."""
    frame = framed(body)
    if faults.bite("huge", step):
        frame = _HUGE
    elif faults.bite("zero", step):
        frame = _ZERO
    elif faults.bite("trunchang", step):
        frame = frame[: len(frame) // 2]
    elif faults.bite("trunc", step):
        writer.write(frame[: len(frame) // 2])
        await writer.drain()
        raise Ended
    elif drip := faults.bite("drip"):
        await _drip(writer, frame, drip.seconds)
        return
    writer.write(frame)
    await writer.drain()
    if _was_last(step, body) and faults.bite("rstend"):
        await _flushed(writer)
        reset(writer)
        raise Ended


async def pause(faults: Faults, step: Step | None, seconds: float) -> None:
    """Take the time this scale takes for an answer."""
    for name in ("slow", "late"):
        if fault := faults.bite(name, step):
            seconds += fault.seconds
    if seconds:
        await asyncio.sleep(seconds)


async def _drip(writer: StreamWriter, frame: bytes, seconds: float) -> None:
    for byte in frame:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(seconds)


async def _flushed(writer: StreamWriter) -> None:
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0.001)
    # A reset throws away what the other side's system has not taken yet.
    await asyncio.sleep(0.01)


def _was_last(step: Step | None, body: bytes) -> bool:
    if step is Step.CHUNK:
        return len(body) > 5 and body[4:6] == bytes([0, 1])
    return step is Step.CHECK and len(body) > 5 and body[4:6] == bytes([0, DONE])


_POWER_OFF_SECONDS: Final = 0.2
_LAST_TURNS: Final = 5


@dataclass(slots=True)
class _Link:
    number: int
    reader: StreamReader
    writer: StreamWriter
    memory: Memory = field(default_factory=Memory)


class Simulator:
    """One scale on one port. `faults.set(…)` changes what is wrong with it while it runs.

    `off` alone counts only when the power comes on.
    """

    def __init__(self, scale: Scale, transcript: Transcript, port: Port) -> None:
        self.scale = scale
        self.transcript = transcript
        self._port = port
        self._memory = Memory()
        self._calls: dict[int, tuple[socket, Task[None]]] = {}
        self._writers: dict[int, StreamWriter] = {}
        self._heard: socket | None = None
        self._waking: Task[None] | None = None
        most = scale.options.connections
        self._turns = asyncio.Semaphore(most) if most else None

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._port.host

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port.number

    @property
    def base(self) -> ProductBase:
        """Its products."""
        return self.scale.base

    @property
    def faults(self) -> Faults:
        """What is wrong with it."""
        return self.scale.faults

    @property
    def open_connections(self) -> int:
        """How many connections it has just now."""
        return len(self._calls)

    @property
    def listening(self) -> bool:
        """Whether it has power, and its port is open."""
        return self._heard is not None

    async def power_on(self) -> None:
        """Listen; nothing if it does."""
        if self._heard is not None:
            return
        if off := self.faults.find("off"):
            if off.text == "drop":
                self._port.crowd()
            return
        self._heard = self._port.listening()
        asyncio.get_running_loop().add_reader(self._heard, self._accept, self._heard)

    async def power_cut(self) -> None:
        """Lose every connection, and whatever is not in the product base."""
        if self._heard is not None:
            asyncio.get_running_loop().remove_reader(self._heard)
            self._heard.close()
            self._heard = None
        for writer in self._writers.values():
            reset(writer)
        # This may be called out of one of the conversations it ends.
        tasks = [task for _, task in self._calls.values() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in self._calls.keys() - self._writers.keys():
            self._calls.pop(number)[0].close()
        self._memory = Memory()
        self.scale.power_cut()

    async def close(self) -> None:
        """Switch it off and give the port back."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)
        await self.power_cut()
        self._port.close()
        # Connections that were just reset need these turns to be gone.
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    def _accept(self, ours: socket) -> None:
        """Somebody knocks. asyncio's own server may lose a connection while it is being closed."""
        try:
            caller, _ = ours.accept()
        except OSError:
            return
        caller.setblocking(False)
        self.transcript.connections += 1
        number = self.transcript.connections
        self._calls[number] = caller, asyncio.create_task(self._serve(number, caller))

    async def _serve(self, number: int, caller: socket) -> None:
        turn: AbstractAsyncContextManager[object] = self._turns or nullcontext()
        try:
            reader, writer = await asyncio.open_connection(sock=caller)
        except OSError:
            del self._calls[number]
            caller.close()
            return
        self._writers[number] = writer
        try:
            async with turn:
                await self._converse(_Link(number, reader, writer))
        except NotAPacket:
            self.transcript.malformed += 1
        except (Ended, ConnectionError, IncompleteReadError):
            pass
        finally:
            del self._calls[number], self._writers[number]
            self.transcript.closed(number)
            writer.close()

    async def _converse(self, link: _Link) -> None:
        if self.faults.bite("idle"):
            reset(link.writer)
            return
        while True:
            prefix = await link.reader.readexactly(PREFIX_BYTES)
            size = int.from_bytes(prefix, "little")
            if size > FRAME_BYTES:
                raise NotAPacket("the frame is too long")
            await self._exchange(link, await link.reader.readexactly(size))

    async def _exchange(self, link: _Link, body: bytes) -> None:
        request = read_request(body)
        step = request.step or f"{request.code:02X}"
        self.transcript.received(link.number, step, body, partial(ended, link.reader, link.writer))
        await self._interrupted(link, request.step)
        if self.faults.bite("mute", request.step):
            return
        await pause(self.faults, request.step, self.scale.options.seconds)
        reply = self._answer(link, request)
        if request.step is Step.SEND and self.faults.bite("lostack"):
            return
        self.transcript.sent(link.number, step, reply, last=ends(request.step, reply))
        await send(link.writer, self.faults, request.step, reply)

    def _answer(self, link: _Link, request: Request) -> bytes:
        shared = self.scale.options.state == "scale"
        return answer(self.scale, request, self._memory if shared else link.memory)

    async def _interrupted(self, link: _Link, step: Step | None) -> None:
        """Raises Ended if the connection does not live to see an answer."""
        if self.faults.bite("rst", step):
            reset(link.writer)
            raise Ended
        if self.faults.bite("fin", step):
            raise Ended
        if fault := self.faults.bite("power", step):
            await self.power_cut()
            self._waking = asyncio.create_task(self._wake(fault.seconds or _POWER_OFF_SECONDS))
            raise Ended

    async def _wake(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.power_on()


@asynccontextmanager
async def open_simulator(
    base: ProductBase,
    *,
    options: Options | None = None,
    faults: Iterable[Fault | str] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    listen: Callable[[Frame], None] | None = None,
) -> AsyncIterator[Simulator]:
    """A scale that listens, until the context ends; port 0 means any free one.

    `listen` is told every frame. Raises BadFault, and OSError if the port is taken.
    """
    scale = Scale(options or Options(), base, Faults(faults))
    simulator = Simulator(scale, Transcript(listen), Port(host, port))
    try:
        await simulator.power_on()
        yield simulator
    finally:
        await simulator.close()
