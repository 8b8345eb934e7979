"""A simulated scale that is switched on: its TCP port, its connections, and its power.

The port is open, closed, or so crowded that packets are dropped. asyncio's own server is not used:
it may lose a connection while it is being closed.
"""

import asyncio
import socket
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter, Task
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from services.scale_bridge.driver.domain.wire import (
    DONE,
    FRAME_BYTES,
    PREFIX_BYTES,
    NotAPacket,
    Request,
    Step,
    framed,
    read_request,
)
from services.scale_bridge.driver.simulator.adapters.answers import answer, ends_operation
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.adapters.scale import Memory, Options, Scale
from services.scale_bridge.driver.simulator.adapters.transcript import Frame, Transcript
from services.scale_bridge.driver.simulator.domain.faults import Fault, Faults

_HUGE: Final = struct.pack("<I", 0x7FFFFFFF)
_ZERO: Final = bytes(4)
_ESTABLISHED: Final = 1
_CROWD: Final = 3
_POWER_OFF_SECONDS: Final = 0.2
_LOOP_CYCLES: Final = 5
"""After so many cycles of the event loop the transports of reset connections are closed."""


class ConnectionEnded(Exception):
    """A fault ended the connection."""


@dataclass(slots=True)
class _Connection:
    number: int
    reader: StreamReader
    writer: StreamWriter
    memory: Memory = field(default_factory=Memory)


class Port:
    """A port that stays reserved while the scale has no power: connections are refused then."""

    def __init__(self, host: str, number: int) -> None:
        self._reserved = _bound(host, number)
        self.host: str = host
        self.number: int = self._reserved.getsockname()[1]
        self._crowd: list[socket.socket] = []

    def listen(self) -> socket.socket:
        """A non-blocking socket that listens on the port; the caller closes it."""
        listener = _bound(self.host, self.number)
        listener.listen(100)
        listener.setblocking(False)
        return listener

    def fill_backlog(self) -> None:
        """Make the system drop the packets of new connections: the backlog is full."""
        full = _bound(self.host, self.number)
        full.listen(0)
        self._crowd = [full]
        for _ in range(_CROWD):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((self.host, self.number))
            self._crowd.append(client)

    def close(self) -> None:
        """Release the port. Safe to repeat."""
        for one in (*self._crowd, self._reserved):
            one.close()


class Simulator:
    """One scale on one port. `faults.set(…)` changes its faults while it runs.

    The fault `off` takes effect at the next `power_on`.
    """

    def __init__(self, scale: Scale, transcript: Transcript, port: Port) -> None:
        self.scale = scale
        self.transcript = transcript
        self._port = port
        self._memory = Memory()
        self._accepted: dict[int, tuple[socket.socket, Task[None]]] = {}
        self._writers: dict[int, StreamWriter] = {}
        self._listener: socket.socket | None = None
        self._waking: Task[None] | None = None
        most = scale.options.connections
        self._served = asyncio.Semaphore(most) if most else None

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._port.host

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port.number

    @property
    def base(self) -> ProductBase:
        """Its product base."""
        return self.scale.base

    @property
    def faults(self) -> Faults:
        """Its faults."""
        return self.scale.faults

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._accepted)

    @property
    def listening(self) -> bool:
        """Whether it has power, and its port is open."""
        return self._listener is not None

    async def power_on(self) -> None:
        """Listen. Safe to repeat."""
        if self._listener is not None:
            return
        if off := self.faults.find("off"):
            if off.text == "drop":
                self._port.fill_backlog()
            return
        self._listener = self._port.listen()
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def power_cut(self) -> None:
        """Lose every connection, and all memory but the product base."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for writer in self._writers.values():
            reset(writer)
        # The task of one of the connections may be the caller.
        tasks = [task for _, task in self._accepted.values() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in self._accepted.keys() - self._writers.keys():
            self._accepted.pop(number)[0].close()
        self._memory = Memory()
        self.scale.power_cut()

    async def close(self) -> None:
        """Switch it off and release the port."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)
        await self.power_cut()
        self._port.close()
        for _ in range(_LOOP_CYCLES):
            await asyncio.sleep(0)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        client.setblocking(False)
        self.transcript.connections += 1
        number = self.transcript.connections
        self._accepted[number] = client, asyncio.create_task(self._serve(number, client))

    async def _serve(self, number: int, client: socket.socket) -> None:
        served: AbstractAsyncContextManager[object] = self._served or nullcontext()
        try:
            reader, writer = await asyncio.open_connection(sock=client)
        except OSError:
            del self._accepted[number]
            client.close()
            return
        self._writers[number] = writer
        try:
            async with served:
                await self._serve_requests(_Connection(number, reader, writer))
        except NotAPacket:
            self.transcript.malformed += 1
        except (ConnectionEnded, ConnectionError, IncompleteReadError):
            pass
        finally:
            del self._accepted[number], self._writers[number]
            self.transcript.closed(number)
            writer.close()

    async def _serve_requests(self, connection: _Connection) -> None:
        if self.faults.trigger("idle"):
            reset(connection.writer)
            return
        while True:
            prefix = await connection.reader.readexactly(PREFIX_BYTES)
            size = int.from_bytes(prefix, "little")
            if size > FRAME_BYTES:
                raise NotAPacket("the frame is too long")
            await self._exchange(connection, await connection.reader.readexactly(size))

    async def _exchange(self, connection: _Connection, body: bytes) -> None:
        request = read_request(body)
        step, number = request.step or f"{request.code:02X}", connection.number
        ended = partial(is_closed, connection.reader, connection.writer)
        self.transcript.received(number, step, body, ended)
        await self._interrupt(connection, request.step)
        if self.faults.trigger("mute", request.step):
            return
        await pause(self.faults, request.step, self.scale.options.seconds)
        reply = self._answer(connection, request)
        if request.step is Step.SEND and self.faults.trigger("lostack"):
            return
        self.transcript.sent(number, step, reply, last=ends_operation(request.step, reply))
        await send(connection.writer, self.faults, request.step, reply)

    def _answer(self, connection: _Connection, request: Request) -> bytes:
        shared = self.scale.options.state == "scale"
        return answer(self.scale, request, self._memory if shared else connection.memory)

    async def _interrupt(self, connection: _Connection, step: Step | None) -> None:
        """Trigger the faults that end the connection before a reply. Raises ConnectionEnded."""
        if self.faults.trigger("rst", step):
            reset(connection.writer)
            raise ConnectionEnded
        if self.faults.trigger("fin", step):
            raise ConnectionEnded
        if fault := self.faults.trigger("power", step):
            await self.power_cut()
            self._waking = asyncio.create_task(self._wake(fault.seconds or _POWER_OFF_SECONDS))
            raise ConnectionEnded

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
    on_frame: Callable[[Frame], None] | None = None,
) -> AsyncIterator[Simulator]:
    """A scale that listens until the context ends; with port 0 the system chooses the port.

    `on_frame` receives every frame. Raises BadFault, and OSError if the port is taken.
    """
    scale = Scale(options or Options(), base, Faults(faults))
    simulator = Simulator(scale, Transcript(on_frame), Port(host, port))
    try:
        await simulator.power_on()
        yield simulator
    finally:
        await simulator.close()


async def send(writer: StreamWriter, faults: Faults, step: Step | None, body: bytes) -> None:
    """Send a reply, damaged by the faults. Raises ConnectionEnded, ConnectionError."""
    frame = framed(body)
    if faults.trigger("huge", step):
        frame = _HUGE
    elif faults.trigger("zero", step):
        frame = _ZERO
    elif faults.trigger("trunchang", step):
        frame = frame[: len(frame) // 2]
    elif faults.trigger("trunc", step):
        writer.write(frame[: len(frame) // 2])
        await writer.drain()
        raise ConnectionEnded
    elif drip := faults.trigger("drip"):
        await _drip(writer, frame, drip.seconds)
        return
    writer.write(frame)
    await writer.drain()
    if _is_last_reply(step, body) and faults.trigger("rstend"):
        await _flush(writer)
        reset(writer)
        raise ConnectionEnded


async def pause(faults: Faults, step: Step | None, seconds: float) -> None:
    """Wait `seconds` before a reply, and as long as the faults add."""
    for name in ("slow", "late"):
        if fault := faults.trigger(name, step):
            seconds += fault.seconds
    if seconds:
        await asyncio.sleep(seconds)


def reset(writer: StreamWriter) -> None:
    """End the connection with RST, not FIN; nothing if it is closing already."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def is_closed(reader: StreamReader, writer: StreamWriter) -> bool:
    """Whether the peer has closed the connection; the system knows that before asyncio does."""
    sock = writer.get_extra_info("socket")
    if writer.is_closing() or reader.at_eof() or sock is None or sock.fileno() < 0:
        return True
    info: int | None = getattr(socket, "TCP_INFO", None)
    if info is None:
        return False
    state: bytes = sock.getsockopt(socket.IPPROTO_TCP, info, 1)
    return state[0] != _ESTABLISHED


async def _drip(writer: StreamWriter, frame: bytes, seconds: float) -> None:
    for byte in frame:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(seconds)


async def _flush(writer: StreamWriter) -> None:
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0.001)
    # A reset discards what the peer's system has not read yet.
    await asyncio.sleep(0.01)


def _is_last_reply(step: Step | None, body: bytes) -> bool:
    if step is Step.CHUNK:
        return len(body) > 5 and body[4:6] == bytes([0, 1])
    return step is Step.CHECK and len(body) > 5 and body[4:6] == bytes([0, DONE])


def _bound(host: str, port: int) -> socket.socket:
    """A socket bound to an address that other sockets of ours may share. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
