"""A service that is forked is the program `python -m` would have started, in less memory.

What must not be shared with a parent is not there when it forks: threads, connections, event loops.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.child import Child, Program, start_apart, wait_ready
from deploy.local.forked import CAN_FORK, Preloaded
from deploy.local.memory import memory_by_program
from deploy.local.services import SERVICES, preloaded_modules
from deploy.local.settings import ROOT
from deploy.local.trouble import CannotStart
from libs.testing.polling import wait_until
from tests.deploy.fakes.heavy import MEBIBYTES

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="only Linux ends children with their parent")

PROBE, HEAVY = "tests.deploy.fakes.probe", "tests.deploy.fakes.heavy"

# What a service may have opened or begun, were it there before the fork: nothing of it.
LIVING = """
import asyncio, gc, json, os, sys, threading
from pathlib import Path
from deploy.local.fork_server import preload
preload(sys.argv[1:])
import aiohttp, asyncpg
from aiokafka.client import AIOKafkaClient
from opentelemetry.sdk.trace import TracerProvider
gc.unfreeze()
kinds = (asyncio.AbstractEventLoop, asyncpg.Connection, asyncpg.Pool, AIOKafkaClient,
    aiohttp.ClientSession, TracerProvider, threading.Thread)
living = [type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds)]
opened = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.exists()]
print(json.dumps({"living": living, "opened": opened, "tasks": len(os.listdir("/proc/self/task"))}))
"""


@contextmanager
def preloaded(home: Path, *modules: str) -> Iterator[tuple[Child, Preloaded]]:
    """A fork server that has imported modules."""
    (home / "logs").mkdir(exist_ok=True)
    parent = Preloaded(modules, home / "logs" / "preload.log")
    child = Child(parent.program)
    try:
        wait_ready(child)
        yield child, parent
    finally:
        child.stop()


@pytest.fixture
def parent(home: Path) -> Iterator[tuple[Child, Preloaded]]:
    with preloaded(home, PROBE) as parent:
        yield parent


def probe(home: Path, *arguments: str, name: str = "probe") -> Program:
    return Program(
        name=name,
        command=(sys.executable, "-m", PROBE, *arguments),
        log_file=home / "logs" / f"{name}.log",
        ready=lambda: True,
        pulse=lambda: True,
        env={"SHEEP": "Дося"},
        cwd=ROOT,
    )


def findings(program: Program) -> dict[str, Any]:
    """What the probe found, when it has said so."""
    wait_until(lambda: program.log_file.exists() and program.log_file.read_text().endswith("\n"))
    found: dict[str, Any] = json.loads(program.log_file.read_text())
    return found


def test_a_forked_program_finds_what_a_program_of_its_own_finds(
    home: Path, parent: tuple[Child, Preloaded]
) -> None:
    apart, forked = probe(home, "a", "b", name="apart"), probe(home, "a", "b", name="forked")
    children = [Child(apart), Child(parent[1].forked(forked))]

    first, second = findings(apart)["facts"], findings(forked)["facts"]

    for found, name in ((first, "apart"), (second, "forked")):
        log = str(home / "logs" / f"{name}.log")
        assert [found["descriptors"].pop(number) for number in "12"] == [log, log]
    assert second == first
    assert first["command"][-2:] == ["a", "b"]
    assert first["environment"]["SHEEP"] == "Дося"
    for child in children:
        child.stop()


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--nonsense", 2)])
def test_a_command_line_built_before_the_fork_behaves_like_one_of_its_own(
    home: Path, argument: str, code: int
) -> None:
    package = "libs.messaging"
    with preloaded(home, package) as (_, parent):
        programs = [
            replace(
                probe(home, name=name),
                command=(sys.executable, "-m", package, argument),
                launch=launch,
            )
            for name, launch in (
                ("apart", start_apart),
                ("forked", parent.forked(probe(home)).launch),
            )
        ]
        children = [Child(program) for program in programs]

        wait_until(lambda: [child.exit_code() for child in children] == [code, code])

        apart, forked = (program.log_file.read_text() for program in programs)
        assert forked == apart
        assert "python -m libs.messaging" in apart


def test_two_children_have_no_random_number_in_common(
    home: Path, parent: tuple[Child, Preloaded]
) -> None:
    programs = [probe(home, name=f"probe-{number}") for number in range(3)]
    children = [Child(parent[1].forked(program)) for program in programs]

    drawn = [number for program in programs for number in findings(program)["drawn"]]

    assert len(set(drawn)) == len(drawn) == 18
    for child in children:
        child.stop()


def test_how_a_forked_program_ended_is_known(home: Path, parent: tuple[Child, Preloaded]) -> None:
    ends, killed, asked = (
        Child(parent[1].forked(probe(home, *arguments, name=name)))
        for name, *arguments in (("ends", "ends"), ("killed",), ("asked",))
    )
    findings(killed.program)

    killed.kill()
    assert asked.stop()
    wait_until(lambda: ends.exit_code() is not None)

    codes = [child.exit_code() for child in (ends, killed, asked)]
    assert codes == [3, -signal.SIGKILL, -signal.SIGTERM]


def test_a_child_ends_with_its_parent_and_none_is_forked_until_there_is_another(
    home: Path, parent: tuple[Child, Preloaded]
) -> None:
    server, preloaded = parent
    program = preloaded.forked(probe(home))
    child = Child(program)
    findings(program)

    server.kill()

    wait_until(lambda: child.exit_code() == -signal.SIGKILL)
    child.kill()  # returns, though there is no parent that tells how it ended
    assert not program.can_start()
    with pytest.raises(CannotStart):
        Child(program)
    again = Child(preloaded.program)
    wait_until(program.can_start)
    Child(program).stop()
    again.stop()


def test_what_was_imported_once_is_counted_once(home: Path) -> None:
    with preloaded(home, HEAVY) as (server, parent):
        programs = [probe(home, name=f"probe-{number}") for number in range(3)]
        children = [Child(parent.forked(program)) for program in programs]
        named = {one.program.name: psutil.Process(one.pid) for one in (server, *children)}

        sizes = memory_by_program(named)

        assert all(sizes.values())
        assert MEBIBYTES << 20 < sum(sizes.values()) < 2 * MEBIBYTES << 20
        for child in children:
            child.stop()


def test_an_idle_parent_takes_no_memory_and_forks_again_on_request(home: Path) -> None:
    with preloaded(home, HEAVY) as (server, parent):
        process = psutil.Process(server.pid)
        programs = [
            parent.forked(probe(home, *arguments, name=name))
            for name, *arguments in (("stays",), ("ended", "ends"), ("waited-for",), ("asked-for",))
        ]
        stays, ended = map(Child, programs[:2])
        findings(ended.program)

        parent.rest()
        wait_until(lambda: process.memory_info().rss < MEBIBYTES << 20)

        stays.kill()
        wait_until(lambda: ended.exit_code() == 3 and stays.exit_code() == -signal.SIGKILL)
        assert parent.is_ready()
        wait_until(programs[2].can_start)
        children = [Child(programs[2])]
        parent.rest()
        wait_until(lambda: process.memory_info().rss < MEBIBYTES << 20)
        children.append(Child(programs[3]))
        assert [findings(child.program)["facts"]["leads"] for child in children] == [True, True]
        for child in children:
            child.stop()
        assert process.pid == server.pid
        assert server.exit_code() is None


def test_a_parent_that_cannot_import_again_leaves_its_children_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(home))
    changing = home / "changing.py"
    changing.touch()
    with preloaded(home, "changing", PROBE) as (server, parent):
        child, other = (Child(parent.forked(probe(home, name=name))) for name in ("one", "two"))
        parent.rest()
        changing.write_text("raise ValueError('half written')")
        other.kill()

        wait_until(lambda: not other.program.can_start() and "half" in log_of(server))

        assert child.exit_code() is None
        assert server.exit_code() is None
        changing.write_text("")
        wait_until(other.program.can_start)
        Child(other.program).stop()
        child.stop()


def log_of(child: Child) -> str:
    return child.program.log_file.read_text()


def test_a_module_that_starts_a_thread_cannot_be_preloaded(home: Path) -> None:
    with (
        pytest.raises(CannotStart, match=r"fakes\.threaded starts a thread"),
        preloaded(home, "tests.deploy.fakes.threaded"),
    ):
        pytest.fail("it was forked from")


def test_nothing_of_the_services_lives_before_the_fork(home: Path) -> None:
    modules = preloaded_modules(SERVICES)
    done = subprocess.run(
        [sys.executable, "-c", LIVING, *modules],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)

    assert found["tasks"] == 1
    assert found["living"] == ["_MainThread"]
    assert {one.partition(":")[0] for one in found["opened"]} == {"/dev/null", "pipe"}
    with preloaded(home, *modules) as (server, _):
        process = psutil.Process(server.pid)
        assert process.num_threads() == 1
        assert process.net_connections(kind="all") == []
