"""Starting, serving and stopping, with real signals and sockets."""

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Any

import aiohttp
import psutil
import pytest
import structlog

from libs.process import lifecycle as process
from libs.testing.polling import PATIENCE_SECONDS, eventually

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
def started(call: str, more: str = "") -> Iterator[tuple[IO[str], IO[str], Popen[str]]]:
    """A program that runs tasks, with its stdout and stderr; killed if a test fails."""
    code = f"{PREAMBLE}\n{more}\nsys.exit(main(run_until_signal({call})))"
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        Popen([sys.executable, "-c", code], stdout=PIPE, stderr=errors, text=True) as program,
    ):
        assert program.stdout is not None
        try:
            yield program.stdout, errors, program
        except BaseException:
            program.kill()
            raise


TERM, INT = signal.SIGTERM, signal.SIGINT
BOTH = ["one drained", "two drained"]
LATE, SLOW = "one, failing_late", "one, stubborn, drain_seconds=2"
CANCELLED = ["one drained", "stubborn cancelled"]


@pytest.mark.parametrize(
    ("call", "sent", "status", "out", "logged"),
    [
        pytest.param("one, two", TERM, 0, BOTH, [], id="every task finishes on a signal"),
        pytest.param("one, two", INT, 0, BOTH, [], id="and on an interrupt"),
        pytest.param(
            SLOW, TERM, 0, CANCELLED, ['"tasks": ["stubborn"]'], id="a late task is cancelled"
        ),
        pytest.param(
            "one, failing",
            None,
            1,
            ["one drained"],
            ['"task": "failing"', "ValueError: broken"],
            id="a failing task stops the others and is logged once",
        ),
        pytest.param(
            "one, short",
            None,
            1,
            ["one drained"],
            ["ended by itself"],
            id="a task that ends unasked counts as failed",
        ),
        pytest.param("one, finishing", None, 0, ["one drained"], [], id="a task asks for the end"),
        pytest.param(LATE, TERM, 1, ["one drained"], ["broken late"], id="failure in draining"),
    ],
)
def test_tasks_end_together_and_the_status_tells_failure(
    call: str, sent: signal.Signals | None, status: int, out: list[str], logged: list[str]
) -> None:
    """`logged` are words of the only line that is logged; none if nothing is."""
    with started(call) as (printed, errors, program):
        for _ in range(1 if "finishing" in call else 2):
            assert printed.readline() == "ready\n"
        if sent:
            program.send_signal(sent)

        assert sorted(printed.read().splitlines()) == out
        assert program.wait(PATIENCE_SECONDS) == status
        errors.seek(0)
        lines = errors.read().splitlines()
        assert len(lines) == bool(logged)
        assert all(words in lines[0] for words in logged)


def test_a_second_signal_cancels_at_once() -> None:
    # Without it the test would run into its timeout.
    with started("one, stubborn, drain_seconds=500") as (printed, _, program):
        assert [printed.readline() for _ in range(2)] == ["ready\n", "ready\n"]
        program.send_signal(signal.SIGINT)
        assert printed.readline() == "one drained\n"
        program.send_signal(signal.SIGINT)
        assert printed.read() == "stubborn cancelled\n"
        assert program.wait(PATIENCE_SECONDS) == 0


def test_programs_run_on_uvloop() -> None:
    async def which() -> int:
        return int(type(asyncio.get_running_loop()).__module__.startswith("uvloop"))

    assert process.main(which()) == 1


class SlowApp:
    """Answers /slow when the test allows it, other paths at once."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.answer = asyncio.Event()
        self.state = type("State", (), {"draining": False})()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/slow":
            self.requested.set()
            await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def served(
    app: SlowApp, stop: asyncio.Event, **options: Any
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        process.serve(app, "127.0.0.1", 0, stop=stop, on_listening=port.set_result, **options)
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait((port, serving), return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"http://127.0.0.1:{await port}", serving
    finally:
        stop.set()
        app.answer.set()
        if not serving.cancelled():
            await serving


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


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"P",
        b"POST / HTTP/1.1\r\nHost: tes",
        b"PRI * HTTP/2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HT",
    ],
)
async def test_a_connection_without_the_head_of_a_request_is_closed(begun: bytes) -> None:
    async with served(SlowApp(), asyncio.Event(), head_seconds=0.3) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(begun)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200") == begun.startswith(b"GET")


async def test_a_stop_refuses_new_requests_and_finishes_those_in_flight() -> None:
    app, stop = SlowApp(), asyncio.Event()
    async with served(app, stop) as (url, serving), aiohttp.ClientSession() as client:
        slow = asyncio.create_task(client.get(f"{url}/slow"))
        await asyncio.wait_for(app.requested.wait(), PATIENCE_SECONDS)

        stop.set()

        await eventually(lambda: not accepts(url))
        assert app.state.draining
        assert not slow.done()
        assert not serving.done()
        app.answer.set()
        async with await slow as answer:
            assert (answer.status, await answer.text()) == (200, "done")
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


async def test_serving_leaves_signals_to_the_process() -> None:
    before = [signal.getsignal(number) for number in process.SIGNALS]
    async with served(SlowApp(), asyncio.Event()):
        during = [signal.getsignal(number) for number in process.SIGNALS]

    assert during == before


async def test_serving_leaves_logging_to_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as lines:
        async with (
            served(SlowApp(), asyncio.Event()) as (url, _),
            aiohttp.ClientSession() as client,
            client.get(url),
        ):
            pass

    assert [line["event"] for line in lines] == ["listening"]
    assert capfd.readouterr().out == ""


async def test_a_busy_port_is_refused_and_not_shared() -> None:
    async with served(SlowApp(), asyncio.Event()) as (url, _):
        port = int(url.rpartition(":")[2])
        with pytest.raises(process.PortBusy, match=str(port)):
            await process.serve(SlowApp(), "127.0.0.1", port, stop=asyncio.Event())


async def test_cancelling_gives_up_on_requests_in_flight() -> None:
    app = SlowApp()
    async with aiohttp.ClientSession() as client, served(app, asyncio.Event()) as (url, serving):
        slow = asyncio.create_task(client.get(f"{url}/slow"))
        await asyncio.wait_for(app.requested.wait(), PATIENCE_SECONDS)

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, PATIENCE_SECONDS)

        app.answer.set()
        await asyncio.gather(slow, return_exceptions=True)


SERVED = f"""
sys.path.insert(0, {str(Path(__file__).parent)!r})
from libs.process.lifecycle import serve
from {Path(__file__).stem} import SlowApp

app = SlowApp()

async def http(stop):
    await serve(app, "127.0.0.1", 0, stop=stop, on_listening=lambda port: say(f"port {{port}}"))

async def later(stop):
    await app.requested.wait()
    say("requested")
    await stop.wait()
    app.answer.set()
"""


def test_a_served_process_finishes_its_requests_on_sigterm() -> None:
    with started("http, later", SERVED) as (printed, _, program):
        lines = iter(printed.readline, "")
        port = next(int(line.removeprefix("port ")) for line in lines if line.startswith("port "))
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert "requested\n" in lines
            program.send_signal(signal.SIGTERM)
            client.settimeout(PATIENCE_SECONDS)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert program.wait(PATIENCE_SECONDS) == 0

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"done")
