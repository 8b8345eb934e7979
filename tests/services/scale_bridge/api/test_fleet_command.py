"""Several scales in one process, out of a file or so many of each kind."""

import asyncio
import json
import re
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
from services.scale_bridge.adapters.simulator.fleet import BadFleet, mixed, open_fleet, read_fleet
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.api.fleet_command import CANNOT, add_fleet
from services.scale_bridge.domain.address import Endpoint
from services.scale_bridge.domain.fault import Unreachable
from tests.services.scale_bridge.at_hand import PASSWORD, priced, prices

ROOT = Path(__file__).parents[4]
ROW = re.compile(r"│ (\S+) +│ ([\d.]+):(\d+) +│ (\d+) +│ (.*?) +│")
FLEET = """
[[scales]]
name = "flowers"
items = 4

[[scales]]
name = "cheese"
items = 3
faults = ["lie", "slow:0.01"]

[[scales]]
name = "dead"
faults = ["off"]
"""


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, dict[str, Endpoint]]]:
    """A fleet in a process of its own, and where each scale is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.scale_bridge", "fleet", *arguments),
        cwd=ROOT,
        stdout=PIPE,
        stderr=STDOUT,
        env={"COLUMNS": "120"},
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(60):
            while "└" not in said:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        yield (
            process,
            {row[1]: Endpoint(IPv4Address(row[2]), int(row[3])) for row in ROW.finditer(said)},
        )
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stopped(process: Process) -> tuple[int | None, str]:
    process.terminate()
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_scales_of_a_file_run_side_by_side_and_keep_their_goods(
    driver: Driver, tmp_path: Path
) -> None:
    file, bases = tmp_path / "fleet.toml", tmp_path / "bases"
    file.write_text(FLEET)

    async with running(str(file), "--bases", str(bases)) as (process, where):
        assert [*where] == ["flowers", "cheese", "dead"]
        assert (await driver.fetch(where["flowers"], PASSWORD)).document == catalogue(4)
        for name, items in (("flowers", 4), ("cheese", 3)):
            await driver.upload(where[name], PASSWORD, priced(items, 5.0), clear=False)
        with pytest.raises(Unreachable):
            await driver.fetch(where["dead"], PASSWORD)
        code, said = await stopped(process)

    assert code == 0
    assert "flowers" in said
    assert json.loads((bases / "flowers.json").read_bytes()) == priced(4, 5.0)
    assert json.loads((bases / "cheese.json").read_bytes()) == catalogue(3)


async def test_a_scale_that_starts_again_has_what_it_had(driver: Driver, tmp_path: Path) -> None:
    members = mixed(well=2, dead=0, slow=0, liars=0, items=3)
    async with open_fleet(members, bases=tmp_path, host="127.0.0.1") as (one, _):
        where = Endpoint(IPv4Address(one.host), one.port)
        await driver.upload(where, PASSWORD, priced(3, 7.0), clear=False)

    async with open_fleet(members, bases=tmp_path, host="127.0.0.1") as (one, other):
        assert (prices(one), len(prices(other))) == ({7.0}, 3)


def test_so_many_of_each_kind_stand_on_ports_one_after_the_other() -> None:
    members = mixed(well=2, dead=1, slow=1, liars=1, first_port=4000)

    assert [(each.name, each.port) for each in members] == [
        ("well-1", 4000),
        ("well-2", 4001),
        ("dead-1", 4002),
        ("slow-1", 4003),
        ("liar-1", 4004),
    ]
    assert [each.dead for each in members] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scales = 1", "tables"),
        ("scales = []", "tables"),
        ("scales = [", "no TOML"),
        ("scales = [1]", "no table"),
        ('[[scales]]\nname="a"\n[[scales]]\nname="a"', "same name"),
        ("[[scales]]\nport=1", "name"),
        ('[[scales]]\nname="../a"', "letters"),
        ('[[scales]]\nname="a"\nport=70000', "port"),
        ('[[scales]]\nname="a"\nport="x"', "port"),
        ('[[scales]]\nname="a"\nitems=-1', "items"),
        ('[[scales]]\nname="a"\npassword="12345"', "4 characters"),
        ('[[scales]]\nname="a"\nfaults=["moody"]', "no fault 'moody'"),
        ('[[scales]]\nname="a"\nfaults=1', "iterable"),
        ('[[scales]]\nname="a"\ncolour="red"', "colour"),
    ],
)
def test_what_is_no_fleet_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(BadFleet, match=says):
        read_fleet(text)


def test_a_file_that_is_no_product_base_ends_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    add_fleet(app)
    (tmp_path / "well-1.json").write_text("[]")

    done = CliRunner().invoke(app, ["--well", "1", "--bases", str(tmp_path)])

    assert done.exit_code == CANNOT
    assert "cannot be switched on" in done.output
