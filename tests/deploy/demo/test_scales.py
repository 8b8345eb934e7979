"""The office's day with ten scales, against a door that fails and against one that lies."""

from pathlib import Path

import aiohttp
import pytest

from deploy.demo.compare import Line
from deploy.demo.dashboard import NoAnswer
from deploy.demo.day import Manner
from deploy.demo.fleet import KINDS, new_fleet, running_fleet, shown_by
from deploy.demo.scales import PLU, beside, password_file, price_of, to_the_scales
from libs.testing.waiting import PATIENCE_SECONDS
from services.scale_bridge.adapters.simulator.fleet import read_fleet
from tests.deploy.demo.fake_door import Shop, serving_scales


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(home=tmp_path, scales=new_fleet(tmp_path))


async def worked(shop: Shop, tag: str = "abc123", *, lag: float = PATIENCE_SECONDS) -> list[Line]:
    manner = Manner(speed=1, patience=PATIENCE_SECONDS, lag=lag)
    async with serving_scales(shop) as url, aiohttp.ClientSession() as session:
        office = beside(tag, home=shop.home, url=url, scales=shop.scales, manner=manner)
        return await office(session)


def disagreeing(lines: list[Line]) -> list[str]:
    return [line.what.partition(":")[0] for line in lines if not line.agrees]


async def test_all_well_scales_show_the_price_and_the_others_are_named(shop: Shop) -> None:
    shop.trouble = 1

    lines = await worked(shop)

    assert disagreeing(lines) == []
    price = price_of("abc123")
    for scale in shop.scales:
        well = scale.kind in ("well", "slow")
        assert shown_by(shop.home, scale, PLU) == (price if well else 1.0)
    said = [line.what for line in lines]
    assert "scale-08-dead: the board says: gone" in said
    assert "scale-10-liar: the board says: shows something else" in said


async def test_the_next_day_knows_the_scales_and_moves_those_that_moved(shop: Shop) -> None:
    await worked(shop)
    shop.devices[1]["port"] = 9
    shop.scales = running_fleet(shop.home)

    lines = await worked(shop, tag="def456")

    assert disagreeing(lines) == []
    assert len(shop.devices) == len(KINDS)
    assert shop.devices[1]["port"] == shop.scales[0].port


@pytest.mark.parametrize("kind", ["forgets", "hushes"])
async def test_a_scale_that_shows_something_else_or_is_not_named_is_seen(
    shop: Shop, kind: str
) -> None:
    name = {"forgets": "scale-03", "hushes": "scale-08-dead"}[kind]
    setattr(shop, kind, name)

    assert disagreeing(await worked(shop, lag=0.3)) == [name]


async def test_another_password_ends_the_day_with_a_sentence(shop: Shop) -> None:
    shop.accounts["office@shop.example"] = "another password"

    with pytest.raises(NoAnswer, match="Incorrect username or password"):
        await worked(shop)


def test_the_file_is_what_the_program_reads_and_the_ports_stay(tmp_path: Path) -> None:
    scales = new_fleet(tmp_path)

    members = read_fleet((tmp_path / "scales" / "fleet.toml").read_text())

    assert [(one.name, one.port) for one in members] == [(one.name, one.port) for one in scales]
    assert [one.dead for one in members].count(True) == 1
    assert running_fleet(tmp_path) == scales == new_fleet(tmp_path)


def test_the_password_itself_is_not_printed(tmp_path: Path) -> None:
    secret = password_file(tmp_path).read_text()

    text = "\n".join(to_the_scales("http://127.0.0.1:8080", tmp_path))

    assert str(password_file(tmp_path)) in text
    assert secret not in text
    assert password_file(tmp_path).stat().st_mode & 0o077 == 0
