"""A scale out of the command line."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.scale_bridge.adapters.driver import Driver
from services.scale_bridge.adapters.simulator.faults import KINDS
from services.scale_bridge.api.simulator_command import CANNOT, MIXED_UP, add_simulator
from services.scale_bridge.domain.address import Endpoint
from tests.services.scale_bridge.at_hand import PASSWORD, priced

ROOT = Path(__file__).parents[4]
RUNNER = CliRunner()
SAID = re.compile(rb"scale (\S+) on ([\d.]+):(\d+), (\d+) products, faults: (.*)")


def command() -> typer.Typer:
    app = typer.Typer()
    add_simulator(app)
    return app


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, Endpoint, bytes]]:
    """A scale in a process of its own, and what it said of itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.scale_bridge", "simulator", "--port", "0"),
        *arguments,
        cwd=ROOT,
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            first = await process.stdout.readline()
        said = SAID.match(first)
        assert said, first
        yield process, Endpoint(IPv4Address(said[2].decode()), int(said[3])), first
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stopped(process: Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def test_it_is_a_scale_whose_goods_and_transcript_stay(
    driver: Driver, tmp_path: Path
) -> None:
    base, frames = tmp_path / "base.json", tmp_path / "frames.jsonl"
    arguments = ("--products", str(base), "--items", "12", "--transcript", str(frames))
    async with running(*arguments, "--fault", "poll:1", "--slow", "0.01") as (process, where, said):
        assert b"12 products, faults: poll slow" in said
        assert (await driver.fetch(where, PASSWORD)).items == 12
        await driver.upload(where, PASSWORD, priced(12, 3.0), clear=True)
        assert await stopped(process) == 0

    assert json.loads(base.read_bytes()) == priced(12, 3.0)
    lines = [json.loads(line) for line in frames.read_text().splitlines()]
    assert [line["step"] for line in lines if line["direction"] == "in"] == [
        *("14", "15", "15", "12/06", "12/07", "12/03", "13/02", "13/03", "13/09"),
    ]
    assert PASSWORD.encode().hex() not in frames.read_text()


async def test_it_says_so_at_the_end_if_operations_met() -> None:
    """(R1)"""
    async with running() as (process, where, _):
        talks = [await asyncio.open_connection(str(where.address), where.port) for _ in range(2)]
        for reader, writer in talks:
            writer.write(bytes.fromhex("080000000206FF1431323334"))
            await reader.readexactly(9)
        code = await stopped(process)
        for _, writer in talks:
            writer.close()

    assert code == MIXED_UP


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fault", "nothing"], "no fault 'nothing'"),
        (["--fault", "mute:77"], "no command '77'"),
        (["--password", "12345"], "four ASCII characters"),
        (["--port", "70000"], "--port"),
        (["--state", "moon"], "--state"),
    ],
)
def test_what_is_asked_wrongly_is_refused(arguments: list[str], says: str) -> None:
    done = RUNNER.invoke(command(), arguments)

    assert done.exit_code == 2
    assert says in " ".join(re.sub(r"[│╭╮╰╯─]|\x1b\[[0-9;]*m", " ", done.output).split())


def test_a_file_that_is_no_product_base_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text("[]")

    done = RUNNER.invoke(command(), ["--port", "0", "--products", str(path)])

    assert done.exit_code == CANNOT
    assert "The scale cannot be switched on" in done.output
    assert path.read_text() == "[]"


def test_it_lists_every_fault() -> None:
    done = RUNNER.invoke(command(), ["--list-faults"])

    assert done.exit_code == 0
    assert all(name in done.output for name in KINDS)
