"""One process: its event loop, its HTTP server, and how it stops."""

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeAlias

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

Task: TypeAlias = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then finishes its work and returns."""

# Together with the resources closed afterwards, a process ends in less than 30 s.
DRAIN_SECONDS = 20.0
# How long a cancelled task may take to end before it is abandoned.
ABANDON_SECONDS = 2.0
CONNECT_RETRY_SECONDS = 0.01
HEAD_SECONDS = 30.0
# The threshold of the garbage collector's first generation, thirty times the default: more than the
# objects of a page of the log, of which none is cyclic.
GC_THRESHOLD = 20_000
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Errors only, through our own logging: by default granian writes to stdout.
GRANIAN_LOGGERS = {"_granian": {"level": "ERROR"}, "granian.access": {"level": "ERROR"}}

log = structlog.get_logger(__name__)


class PortBusy(Exception):
    """Another process listens on the port."""


def main(program: Coroutine[Any, Any, int]) -> int:
    """Run a program on a new event loop, uvloop's if it is installed. Returns its exit status."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(program)


async def run_until_signal(*tasks: Task, drain_seconds: float = DRAIN_SECONDS) -> int:
    """Run tasks side by side until SIGTERM or SIGINT, or until one of them sets the event.

    Then each has `drain_seconds` to finish before it is cancelled; a second signal cancels at
    once. Returns 0. A task that fails, or that ends before the event is set, stops the others in
    the same way, is logged once, and makes the status 1. Tasks are named after their functions.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    running = [asyncio.create_task(_named(task, stop), name=_name(task)) for task in tasks]
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, _on_signal, stop, hurry)
    # The objects built by now stay: collecting them again and again would delay answers by tens of
    # milliseconds.
    gc.collect()
    gc.freeze()
    # Short-lived objects are seldom cyclic garbage.
    gc.set_threshold(GC_THRESHOLD)
    try:
        failed = await _until_stopped(running, stop)
        failed |= await _drain(running, hurry, drain_seconds)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        for task in running:
            task.cancel()
    return int(failed)


async def serve(
    app: Any,
    host: str,
    port: int,
    *,
    stop: asyncio.Event,
    on_listening: Callable[[int], None] | None = None,
    head_seconds: float = HEAD_SECONDS,
) -> None:
    """Serve an ASGI app from this event loop until `stop`, then finish the requests in flight.

    Port 0 means any free one; `on_listening` is called with the port once connections are accepted.
    The app's lifespan does not run: the caller opens its resources around the server. A connection
    that sends no complete head of a request within `head_seconds` is closed. A cancelled server
    abandons the requests in flight. Raises `PortBusy`.
    """
    port = _free_port(host, port)
    server = _server(app, host, port, head_seconds)
    serving = asyncio.create_task(server.serve())
    announcing = asyncio.create_task(_announce(host, port, on_listening))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        _set_draining(app)
        server.stop()  # type: ignore[no-untyped-call]
        await serving
        if not stop.is_set():
            raise RuntimeError("the HTTP server ended by itself")
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        for task in (serving, stopping, announcing):
            task.cancel()


def _server(app: Any, host: str, port: int, head_seconds: float) -> Server:
    return Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        backlog=1024,
        # With HTTP/2 enabled it would wait for ever for the first bytes, which tell the version.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=round(head_seconds * 1000)),
        log_level=LogLevels.error,
        log_dictconfig={"formatters": {}, "handlers": {}, "loggers": GRANIAN_LOGGERS},
    )


async def _announce(host: str, port: int, on_listening: Callable[[int], None] | None) -> None:
    """Wait until connections are accepted: granian's own start-up hook comes before that."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(CONNECT_RETRY_SECONDS)
            continue
        writer.close()
        log.info("listening", host=host, port=port)
        if on_listening is not None:
            on_listening(port)
        return


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _set_draining(app: Any) -> None:
    # Open connections may still request /ready while requests in flight finish.
    state = getattr(app, "state", None)
    if state is not None:
        state.draining = True


def _free_port(host: str, port: int) -> int:
    """Bind once to check that `port` is free, or to choose one if it is 0. Raises `PortBusy`.

    granian itself binds with SO_REUSEPORT: a second server on a busy port would not fail, but take
    half of the first one's connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortBusy(f"cannot listen on {host}:{port}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def _on_signal(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    (hurry if stop.is_set() else stop).set()


async def _named(task: Task, stop: asyncio.Event) -> None:
    await task(stop)


def _name(task: Task) -> str:
    inner = task.func if isinstance(task, functools.partial) else task
    return getattr(inner, "__qualname__", type(inner).__name__)


async def _until_stopped(running: Iterable[asyncio.Task[None]], stop: asyncio.Event) -> bool:
    """Wait for the stop or for the first task to end. Returns whether a task ended by itself."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait((stopping, *running), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        return False
    stop.set()
    for task in done:
        if task.cancelled() or task.exception() is None:
            log.error("task ended by itself", task=task.get_name())
    return True


async def _drain(
    running: list[asyncio.Task[None]], hurry: asyncio.Event, drain_seconds: float
) -> bool:
    """Let the tasks finish, cancel the rest, log each failure. Returns whether a task failed."""
    hurried = asyncio.create_task(hurry.wait())
    finished = asyncio.gather(*running, return_exceptions=True)
    first: list[asyncio.Future[Any]] = [hurried, finished]
    await asyncio.wait(first, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    late = [task for task in running if not task.done()]
    if late:
        log.warning("cancelled while draining", tasks=[task.get_name() for task in late])
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=ABANDON_SECONDS)
    failures = [task for task in running if task.done() and not task.cancelled()]
    failures = [task for task in failures if task.exception() is not None]
    for task in failures:
        log.error("task failed", task=task.get_name(), exc_info=task.exception())
    return bool(failures)
