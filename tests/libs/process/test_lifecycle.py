"""Starting, serving and stopping, with real signals and real sockets.

Longer than most: one list of the ways a process may be stopped.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import psutil
import pytest
import structlog

from libs.process import lifecycle as process

PREAMBLE = """
import asyncio, functools, sys
from libs.process.lifecycle import main, run_until_signal
from libs.telemetry import logs

logs.set_up("test")

def say(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()

async def polite(name, stop):
    say("ready")
    await stop.wait()
    say(f"{name} drained")

async def stubborn(stop):
    say("ready")
    try:
        await asyncio.sleep(600)
    finally:
        say("stubborn cancelled")

async def failing(stop):
    say("ready")
    raise ValueError("broken")

async def short(stop):
    say("ready")

async def finishing(stop):
    stop.set()

async def failing_late(stop):
    say("ready")
    await stop.wait()
    raise ValueError("broken late")

one, two = functools.partial(polite, "one"), functools.partial(polite, "two")
"""


@contextmanager
def started(call: str) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """A program running tasks, and what it writes to stderr."""
    command = [sys.executable, "-c", f"{PREAMBLE}\nsys.exit(main(run_until_signal({call})))"]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as program,
    ):
        yield program, errors


def run(call: str, *signals: signal.Signals, ready: int) -> tuple[int, str, str]:
    """Start a program, wait until `ready` of its tasks run, signal it; status, stdout, stderr."""
    with started(call) as (program, errors):
        assert program.stdout is not None
        for _ in range(ready):
            assert program.stdout.readline() == "ready\n"
        for number in signals:
            program.send_signal(number)
        out = program.stdout.read()
        status = program.wait(60)
        errors.seek(0)
        return status, out, errors.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_every_task_finish(number: signal.Signals) -> None:
    status, out, err = run("one, two", number, ready=2)

    assert (status, err) == (0, "")
    assert sorted(out.splitlines()) == ["one drained", "two drained"]


def test_a_task_that_does_not_finish_in_time_is_cancelled() -> None:
    status, out, err = run("one, stubborn, drain_seconds=0.3", signal.SIGTERM, ready=2)

    assert status == 0
    assert out.splitlines() == ["one drained", "stubborn cancelled"]
    assert '"tasks": ["stubborn"]' in err


def test_a_second_signal_cancels_at_once() -> None:
    # Without it the test would run into its timeout.
    with started("one, stubborn, drain_seconds=500") as (program, _):
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == ["ready\n", "ready\n"]
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "one drained\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.read() == "stubborn cancelled\n"
        assert program.wait(60) == 0


def test_one_failing_task_stops_the_others_and_is_logged_once() -> None:
    status, out, err = run("one, failing", ready=2)

    assert status == 1
    assert out == "one drained\n"
    (line,) = err.splitlines()
    assert '"task": "failing"' in line
    assert "ValueError: broken" in line


def test_a_task_that_ends_unasked_counts_as_failed() -> None:
    status, out, err = run("one, short", ready=2)

    assert (status, out) == (1, "one drained\n")
    (line,) = err.splitlines()
    assert "ended by itself" in line


def test_a_task_may_ask_for_the_end() -> None:
    status, out, err = run("one, finishing", ready=1)

    assert (status, out, err) == (0, "one drained\n", "")


def test_a_failure_while_draining_is_not_a_clean_end() -> None:
    status, _, err = run("one, failing_late", signal.SIGTERM, ready=2)

    assert status == 1
    assert len(err.splitlines()) == 1


def test_programs_run_on_uvloop() -> None:
    async def which() -> int:
        return int(type(asyncio.get_running_loop()).__module__.startswith("uvloop"))

    assert process.main(which()) == 1


class SlowApp:
    """Answers /slow when it is told to, anything else at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.state = type("State", (), {"draining": False})()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/slow":
            self.asked.set()
            await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def served(
    app: SlowApp, stop: asyncio.Event
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        process.serve(app, "127.0.0.1", 0, stop=stop, listening=port.set_result)
    )
    async with asyncio.timeout(20):
        await asyncio.wait((port, serving), return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"http://127.0.0.1:{await port}", serving
    finally:
        stop.set()
        app.answer.set()
        await serving


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def accepts(url: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


async def test_an_app_is_served_on_the_given_host_only() -> None:
    app, stop = SlowApp(), asyncio.Event()
    async with served(app, stop) as (url, _), aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            assert (answer.status, await answer.text()) == (200, "done")

        port = int(url.rpartition(":")[2])
        listening = psutil.Process().net_connections(kind="tcp")
        hosts = {c.laddr[0] for c in listening if c.status == "LISTEN" and c.laddr[1] == port}

    assert hosts == {"127.0.0.1"}


async def test_a_stop_refuses_new_requests_and_finishes_those_in_flight() -> None:
    app, stop = SlowApp(), asyncio.Event()
    async with served(app, stop) as (url, serving), aiohttp.ClientSession() as client:
        slow = asyncio.create_task(client.get(f"{url}/slow"))
        await asyncio.wait_for(app.asked.wait(), 20)

        stop.set()

        await until(lambda: not accepts(url))
        assert app.state.draining
        assert not slow.done()
        assert not serving.done()
        app.answer.set()
        async with await slow as answer:
            assert (answer.status, await answer.text()) == (200, "done")
        await asyncio.wait_for(serving, 20)


async def test_serving_leaves_signals_to_the_process() -> None:
    before = [signal.getsignal(number) for number in process.SIGNALS]
    async with served(SlowApp(), asyncio.Event()):
        during = [signal.getsignal(number) for number in process.SIGNALS]

    assert during == before


async def test_serving_leaves_logging_to_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as said:
        async with (
            served(SlowApp(), asyncio.Event()) as (url, _),
            aiohttp.ClientSession() as client,
            client.get(url),
        ):
            pass

    assert [line["event"] for line in said] == ["listening"]
    assert capfd.readouterr().out == ""


async def test_a_busy_port_is_refused_and_not_shared() -> None:
    async with served(SlowApp(), asyncio.Event()) as (url, _):
        port = int(url.rpartition(":")[2])
        with pytest.raises(process.PortBusy, match=str(port)):
            await process.serve(SlowApp(), "127.0.0.1", port, stop=asyncio.Event())


async def test_cancelling_gives_up_on_requests_in_flight() -> None:
    app, stop = SlowApp(), asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        process.serve(app, "127.0.0.1", 0, stop=stop, listening=port.set_result)
    )
    async with aiohttp.ClientSession() as client:
        slow = asyncio.create_task(client.get(f"http://127.0.0.1:{await port}/slow"))
        await asyncio.wait_for(app.asked.wait(), 20)

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 20)

        app.answer.set()
        await asyncio.gather(slow, return_exceptions=True)


@contextmanager
def killed_if_left(running: subprocess.Popen[str]) -> Iterator[None]:
    """A failing test does not wait for a process that nobody stops any more."""
    try:
        yield
    except BaseException:
        running.kill()
        raise


def test_a_served_process_finishes_its_requests_on_sigterm(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys, functools
sys.path.insert(0, {str(Path(__file__).parent)!r})
from libs.process.lifecycle import main, run_until_signal, serve
from {Path(__file__).stem} import SlowApp

async def run():
    app = SlowApp()
    def told(port):
        sys.stdout.write(f"{{port}}\\n"); sys.stdout.flush()
    async def http(stop):
        await serve(app, "127.0.0.1", 0, stop=stop, listening=told)
    async def later(stop):
        await app.asked.wait()
        sys.stdout.write("asked\\n"); sys.stdout.flush()
        await stop.wait()
        app.answer.set()
    return await run_until_signal(http, later)

sys.exit(main(run()))
"""
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with (
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=env
        ) as running,
        killed_if_left(running),
    ):
        assert running.stdout is not None
        lines = iter(running.stdout.readline, "")
        port = next(int(line) for line in lines if line.strip().isdigit())
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert "asked\n" in lines
            running.send_signal(signal.SIGTERM)
            client.settimeout(30)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        running.communicate(timeout=60)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"done")
    assert running.returncode == 0
