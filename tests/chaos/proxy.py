"""A TCP proxy that can be unkind: cut, delay, swallow, or close one direction only."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Self

from deploy.local.ports import LOOPBACK

CHUNK: Final = 65_536


class Proxy:
    """Forwards what comes to `port` to `target`, both on loopback. Use as a context manager.

    `delay` holds every chunk back for so many seconds, each way. While `deaf` nothing of what the
    target answers is passed on: the other side has acted and nobody hears of it. While it
    `swallows` nothing is passed on in either direction, no end of a connection either, and new
    connections get no answer: a host that has vanished. What met that stays so.
    """

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self.delay = 0.0
        self.deaf = False
        self.swallows = False
        self.open = True
        self.passed = 0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.open = False
        self._server.close()
        self.cut()
        while self._pairs:
            await asyncio.sleep(0.01)

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        for pair in self._pairs:
            with suppress(OSError):
                pair.reset()
        return len(self._pairs)

    def close_half(self) -> int:
        """Tell the target that nothing more will come, and go on listening to it; how often."""
        for pair in self._pairs:
            pair.close_half()
        return len(self._pairs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(self, (reader, writer), upstream)
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Pair:
    def __init__(self, proxy: Proxy, client: _Stream, target: _Stream) -> None:
        self._proxy, self._client, self._target = proxy, client, target
        self._half = self._lost = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Forward both ways until both have ended or one is broken."""
        self._tasks = [
            asyncio.create_task(self._forward(self._client[0], self._target[1], back=False)),
            asyncio.create_task(self._forward(self._target[0], self._client[1], back=True)),
        ]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._close()
            # What broke them, if anything did, is what both ends see too.
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for _, writer in (self._client, self._target):
                with suppress(OSError):
                    await writer.wait_closed()

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool
    ) -> None:
        try:
            while chunk := await source.read(CHUNK):
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                if self._is_lost() or (self._proxy.deaf if back else self._half):
                    continue
                sink.write(chunk)
                self._proxy.passed += len(chunk)
                await sink.drain()
        except ConnectionError:
            if not self._is_lost():
                raise
        if self._is_lost():
            await asyncio.Event().wait()
        if back or not self._half:
            sink.write_eof()

    def _is_lost(self) -> bool:
        self._lost |= self._proxy.swallows
        return self._lost

    def close_half(self) -> None:
        writer = self._target[1]
        if not self._half and not writer.is_closing():
            self._half = True
            with suppress(OSError):
                writer.write_eof()

    def reset(self) -> None:
        for _, writer in (self._client, self._target):
            # Without lingering a close is a reset, not an orderly end.
            link = writer.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for _, writer in (self._client, self._target):
            writer.transport.abort()
