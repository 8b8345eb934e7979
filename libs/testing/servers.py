"""Servers on real sockets, for tests of clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from libs.testing.polling import PATIENCE_SECONDS

SHUTDOWN_SECONDS = 0.1
"""How long requests in flight may take at the end; zero would mean for ever."""

Handler = Callable[[Any], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def http_server(answer: web.Application | Handler, *, port: int = 0) -> AsyncIterator[str]:
    """The URL of a server for an app or for one handler of all requests; a free port by default.

    A request is cancelled when its client disconnects, and at the end of the block.
    """
    runner: web.BaseRunner
    if isinstance(answer, web.Application):
        runner = web.AppRunner(answer, shutdown_timeout=SHUTDOWN_SECONDS, access_log=None)
    else:
        server = web.Server(answer, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def http_routes(**handlers: Handler) -> AbstractAsyncContextManager[str]:
    """The URL of a server that answers `GET /<name>` with the handler of that name."""
    app = web.Application()
    app.add_routes([web.get(f"/{name}", handler) for name, handler in handlers.items()])
    return http_server(app)


@asynccontextmanager
async def tcp_server(handler: RawHandler) -> AsyncIterator[str]:
    """The URL of a server whose connections are passed to `handler`."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class AsgiExchange:
    """One request and its response as ASGI messages."""

    incoming: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    outgoing: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def receive(self) -> Any:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        self.outgoing.put_nowait(message)

    async def next(self) -> Any:
        """The next message of the response."""
        return await asyncio.wait_for(self.outgoing.get(), PATIENCE_SECONDS)
