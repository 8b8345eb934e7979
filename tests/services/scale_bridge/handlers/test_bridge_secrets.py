"""A scale's password is between the service and the daemon that speaks to the scale."""

from pathlib import Path

import pytest

from libs.postgres.pool import acquired
from services.scale_bridge.adapters import bridge_wire
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.domain.bridge_message import Message
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import daemon, enrolled
from tests.services.scale_bridge.bridging import (
    PASSWORD,
    standing,
    until,
)


async def test_it_is_in_no_message_no_log_no_table_and_no_file(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    write = bridge_wire.written

    def heard(message: Message) -> str:
        said.append(write(message))
        return said[-1]

    monkeypatch.setattr(bridge_wire, "written", heard)
    async with standing(database) as house, a_scale(9, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            scale.scale.faults.set(["late:13/09:0.3"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.CHECK in scale.transcript.steps())
            found = contents_of(tmp_path)
            async with acquired(house.desk.pool) as connection:
                for table in ("events", "handed", "bridge", "work"):
                    rows = await connection.fetch(f"SELECT * FROM {table}")
                    found += [str(dict(row)).encode() for row in rows]
            assert (await house.end(operation_id)).outcome == "verified"
        found += contents_of(tmp_path)
        captured = capfd.readouterr()

    assert {"Work", "Reported", "Part"} <= {text.split('"')[5] for text in said}
    assert not [text for text in said if PASSWORD in text]
    assert not [each for each in found if PASSWORD.encode() in each]
    assert "work kept" in captured.out + captured.err
    assert PASSWORD not in captured.out + captured.err


async def test_the_daemons_files_are_its_owners_only(database: str, tmp_path: Path) -> None:
    home = tmp_path / "bridge"
    async with standing(database) as house, a_scale(3, password=PASSWORD) as scale:
        enrolled(home, house.url)
        async with daemon(home):
            await house.read(scale)
            modes = {file.name: file.stat().st_mode & 0o777 for file in home.iterdir()}

    assert home.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes


def contents_of(home: Path) -> list[bytes]:
    return [file.read_bytes() for file in home.iterdir() if file.is_file()]
