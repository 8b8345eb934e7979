"""How a simulated scale puts a reply on the wire, and what may go wrong just there."""

import asyncio
import struct
from asyncio import StreamWriter
from typing import Final

from services.scale_bridge.driver.adapters.wire import DONE, Step, framed
from services.scale_bridge.driver.simulator.faults import Faults
from services.scale_bridge.driver.simulator.port import reset

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
