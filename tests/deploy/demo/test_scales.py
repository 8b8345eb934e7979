"""The office's day with ten scales, against a door that fails, that lies, or is not there yet."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from deploy.demo.compare import Line
from deploy.demo.dashboard import NoAnswer
from deploy.demo.day import Manner
from deploy.demo.fleet import KINDS, new_fleet, running_fleet, shown_by
from deploy.demo.office import Account, OfficeClient
from deploy.demo.outages import Outages
from deploy.demo.scales import PLU, office_work, password_file, price_of, scales_hint
from deploy.local.ports import free_port
from libs.testing.clock import MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.servers import http_server
from services.scale_bridge.driver.simulator.adapters.fleet import read_fleet
from tests.deploy.demo.fake_door import Shop, serving_scales


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(home=tmp_path, scales=new_fleet(tmp_path))


async def worked(shop: Shop, tag: str = "abc123", *, lag: float = PATIENCE_SECONDS) -> list[Line]:
    manner = Manner(speed=1, patience=PATIENCE_SECONDS, lag=lag)
    async with serving_scales(shop) as url, aiohttp.ClientSession() as session:
        office = office_work(tag, home=shop.home, url=url, scales=shop.scales, manner=manner)
        return await office(session)


def disagreeing(lines: list[Line]) -> list[str]:
    return [line.what.partition(":")[0] for line in lines if not line.agrees]


async def test_all_healthy_scales_display_the_price_and_the_others_are_reported(shop: Shop) -> None:
    shop.trouble = 1

    lines = await worked(shop)

    assert disagreeing(lines) == []
    price = price_of("abc123")
    for scale in shop.scales:
        well = scale.kind in ("well", "slow")
        assert shown_by(shop.home, scale, PLU) == (price if well else 1.0)
    event = [line.what for line in lines]
    assert "scale-08-dead: the board says: gone" in event
    assert "scale-10-liar: the board says: shows something else" in event


async def test_the_next_day_reuses_the_scales_with_their_new_addresses(shop: Shop) -> None:
    await worked(shop)
    shop.devices[1]["port"] = 9
    shop.scales = running_fleet(shop.home)

    lines = await worked(shop, tag="def456")

    assert disagreeing(lines) == []
    assert len(shop.devices) == len(KINDS)
    assert shop.devices[1]["port"] == shop.scales[0].port


@pytest.mark.parametrize("kind", ["forgets", "hushes"])
async def test_a_scale_with_another_price_or_missing_on_the_board_is_noticed(
    shop: Shop, kind: str
) -> None:
    name = {"forgets": "scale-03", "hushes": "scale-08-dead"}[kind]
    setattr(shop, kind, name)

    assert disagreeing(await worked(shop, lag=0.3)) == [name]


async def test_a_wrong_password_ends_the_day_with_a_message(shop: Shop) -> None:
    shop.accounts["office@shop.example"] = "another password"

    with pytest.raises(NoAnswer, match="Incorrect username or password"):
        await worked(shop)


def test_the_program_reads_the_file_and_the_ports_stay(tmp_path: Path) -> None:
    scales = new_fleet(tmp_path)

    members = read_fleet((tmp_path / "scales" / "fleet.toml").read_text())

    assert [(one.name, one.port) for one in members] == [(one.name, one.port) for one in scales]
    assert [one.dead for one in members].count(True) == 1
    assert running_fleet(tmp_path) == scales == new_fleet(tmp_path)


def test_the_password_itself_is_not_printed(tmp_path: Path) -> None:
    secret = password_file(tmp_path).read_text()

    text = "\n".join(scales_hint("http://127.0.0.1:8080", tmp_path))

    assert str(password_file(tmp_path)) in text
    assert secret not in text
    assert password_file(tmp_path).stat().st_mode & 0o077 == 0


ANNA = Account(email="anna@example.com", password="secret-of-anna")


def answering(*answers: web.Response) -> web.Application:
    """Answers to the first requests, whatever they are."""
    coming = iter(answers)

    async def answer(_: web.Request) -> web.StreamResponse:
        return next(coming)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    return app


async def test_answers_of_another_program_at_the_port_are_ignored() -> None:
    app = answering(web.Response(text="welcome"), web.json_response({"devices": []}))
    async with http_server(app) as url, aiohttp.ClientSession() as session:
        office = OfficeClient(session, url, ANNA, patience=PATIENCE_SECONDS)
        assert (await office.request("GET", "/devices/board")).body == {"devices": []}


async def test_a_gateway_that_does_not_listen_yet_is_tried_again() -> None:
    port, failed = free_port(), asyncio.Event()
    traces = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        failed.set()

    traces.on_request_exception.append(note)
    async with aiohttp.ClientSession(trace_configs=[traces]) as session:
        office = OfficeClient(session, f"http://127.0.0.1:{port}", ANNA, patience=PATIENCE_SECONDS)
        asking = asyncio.create_task(office.request("GET", "/devices"))
        await failed.wait()
        async with http_server(answering(web.json_response([])), port=port):
            assert (await asking).body == []


def test_the_start_and_end_of_an_outage_are_reported() -> None:
    event: list[str] = []
    clock = MonotonicClock(0.0)
    outages = Outages(event.append, clock=clock)

    outages.failed("nobody listens")
    clock.now = 2.0
    outages.failed("503\nTemporarily unavailable")
    assert outages.seconds() == 2.0
    outages.worked(begun=1.5)
    outages.worked(begun=2.5)
    clock.now = 9.0
    outages.worked(begun=8.0)

    assert outages.count == 1
    assert outages.seconds() == 0.0
    assert event == [
        "Outage 1: nobody listens. The devices keep trying.",
        "Outage 1 is over after 2.0 s and 2 failed requests.",
    ]
