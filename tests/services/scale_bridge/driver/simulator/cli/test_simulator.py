"""The command that runs simulated scales (R1)."""

import asyncio
import json
import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.testing import CliRunner, Result

from libs.testing.programs import Program, run_program
from services.scale_bridge.driver.adapters.driver import Driver
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import Unreachable
from services.scale_bridge.driver.simulator.adapters.fleet import BadFleet, mixed, read_fleet
from services.scale_bridge.driver.simulator.cli.fleet import CANNOT, MIXED_UP, add_fleet
from services.scale_bridge.driver.simulator.domain.faults import KINDS
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.services.scale_bridge.at_hand import PASSWORD, fetch, priced, upload

ROW: Final = re.compile(r"│ (\S+) +│ ([\d.]+):(\d+) +│ (\d+) +│ (.*?) +│")
TABLE_END: Final = re.compile("└".encode())
FLEET: Final = """
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


async def endpoints_of(program: Program) -> dict[str, Endpoint]:
    await program.wait_for_output(TABLE_END)
    rows = ROW.finditer(program.output.decode())
    return {row[1]: Endpoint(IPv4Address(row[2]), int(row[3])) for row in rows}


async def test_a_scale_stores_its_products_and_every_frame(driver: Driver, tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[[scales]]\nname="one"\nitems=12\nchecking=1\nfaults=["poll:1"]')
    folders = ("--bases", str(tmp_path), "--transcripts", str(tmp_path))
    async with run_program("scale_bridge", "fleet", str(file), *folders) as program:
        where = (await endpoints_of(program))["one"]
        assert (await fetch(driver, where, PASSWORD)).items == 12
        await upload(driver, where, PASSWORD, priced(12, 3.0), clear=True)
        assert await program.stop() == 0

    assert json.loads((tmp_path / "one.json").read_bytes()) == priced(12, 3.0)
    frames = (tmp_path / "one.jsonl").read_text()
    lines = [json.loads(line) for line in frames.splitlines()]
    assert [line["step"] for line in lines if line["direction"] == "in"] == [
        *("14", "15", "15", "12/06", "12/07", "12/03", "13/02", "13/03", "13/09", "13/09")
    ]
    assert PASSWORD.encode().hex() not in frames


async def test_the_exit_status_reports_overlapping_operations() -> None:
    well = ("--well", "1", "--dead", "0", "--slow", "0", "--liars", "0")
    async with run_program("scale_bridge", "fleet", *well) as program:
        where = (await endpoints_of(program))["well-1"]
        talks = [await asyncio.open_connection(str(where.address), where.port) for _ in range(2)]
        for reader, writer in talks:
            writer.write(bytes.fromhex("080000000206FF1431323334"))
            await reader.readexactly(9)
        code = await program.stop()
        for _, writer in talks:
            writer.close()

    assert code == MIXED_UP
    assert b"into the operation of connection" in b" ".join(program.output.split())


def fleet(*arguments: str) -> Result:
    app = typer.Typer()
    add_fleet(app)
    return CliRunner().invoke(app, list(arguments))


def test_a_file_that_describes_no_fleet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[[scales]]\nname="a"\nfaults=["mute:77"]')

    done = fleet(str(file))

    assert done.exit_code == 2
    assert "no command '77'" in done.output


def test_a_file_that_is_no_product_base_ends_the_command_untouched(tmp_path: Path) -> None:
    path = tmp_path / "well-1.json"
    path.write_text("[]")

    done = fleet("--well", "1", "--bases", str(tmp_path))

    assert done.exit_code == CANNOT
    assert "cannot be switched on" in done.output
    assert path.read_text() == "[]"


def test_it_lists_every_fault() -> None:
    done = fleet("--list-faults")

    assert done.exit_code == 0
    assert all(name in done.output for name in KINDS)


async def test_the_scales_of_a_file_run_side_by_side_and_store_their_goods(
    driver: Driver, tmp_path: Path
) -> None:
    file, bases = tmp_path / "fleet.toml", tmp_path / "bases"
    file.write_text(FLEET)

    async with run_program("scale_bridge", "fleet", str(file), "--bases", str(bases)) as program:
        where = await endpoints_of(program)
        assert [*where] == ["flowers", "cheese", "dead"]
        assert (await fetch(driver, where["flowers"], PASSWORD)).document == catalogue(4)
        for name, items in (("flowers", 4), ("cheese", 3)):
            await upload(driver, where[name], PASSWORD, priced(items, 5.0), clear=False)
        with pytest.raises(Unreachable):
            await fetch(driver, where["dead"], PASSWORD)
        table = len(program.output)
        assert await program.stop() == 0

    assert b"flowers" in program.output[table:]
    assert json.loads((bases / "flowers.json").read_bytes()) == priced(4, 5.0)
    assert json.loads((bases / "cheese.json").read_bytes()) == catalogue(3)


def test_a_mixed_fleet_has_consecutive_ports() -> None:
    members = mixed(well=2, dead=1, slow=1, liars=1, first_port=4000)

    names = ["well-1", "well-2", "dead-1", "slow-1", "liar-1"]
    assert [(each.name, each.port) for each in members] == [
        *zip(names, range(4000, 4005), strict=True)
    ]
    assert [each.dead for each in members] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scales = 1", "Expected `array`"),
        ("scales = []", "length >= 1"),
        ("scales = [", "Invalid"),
        ("scales = [1]", "Expected `object`"),
        ('[[scales]]\nname="a"\n[[scales]]\nname="a"', "same name"),
        ("[[scales]]\nport=1", "required field `name`"),
        ('[[scales]]\nname="../a"', r"scales\[0\].name"),
        ('[[scales]]\nname="a"\nport=70000', r"scales\[0\].port"),
        ('[[scales]]\nname="a"\nport="x"', "Expected `int`"),
        ('[[scales]]\nname="a"\nitems=-1', "items"),
        ('[[scales]]\nname="a"\npassword="12345"', "password"),
        ('[[scales]]\nname="a"\nstate="moon"', "state"),
        ('[[scales]]\nname="a"\nfaults=["moody"]', "no fault 'moody'"),
        ('[[scales]]\nname="a"\nfaults=1', "Expected `array`"),
        ('[[scales]]\nname="a"\ncolour="red"', "colour"),
    ],
)
def test_an_invalid_fleet_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(BadFleet, match=says):
        read_fleet(text)
