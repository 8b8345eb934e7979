"""The agent as a process of its own, enrolled at a running gateway, killed and restarted."""

import re
import signal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import pytest
from typer.testing import CliRunner

from contracts.envelope import Envelope
from contracts.gateway import DeviceEnrolled
from libs.eventsourcing.store import envelope
from libs.postgres.migrate import migrate
from libs.testing.callers import KEY
from libs.testing.polling import eventually
from libs.testing.programs import run_program
from services.gateway.context import Deps
from services.scale_bridge.__main__ import app
from services.scale_bridge.bridges.reactions import enrolments
from services.scale_bridge.driver.domain.wire import Step
from tests.services.gateway.device import CSRF, PAGE
from tests.services.gateway.harness import PASSWORD as OF_PEOPLE
from tests.services.gateway.harness import SCALES, WEIGHER, demo_on
from tests.services.gateway.test_bootstrap import served
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import PASSWORD, Line, Remote, open_remote

CODE: Final = re.compile(rb"\b[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}\b")
BRIDGE: Final = ("scale_bridge", "bridge", "--loopback", "--state")


async def let_in(gateway: str, email: str, code: str) -> None:
    """Approve an agent on the gateway's page, as a person does."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(f"{gateway}{PAGE}") as page:
            csrf = CSRF.search(await page.text())
        assert csrf is not None
        form = {"csrf": csrf[1], "user_code": code, "answer": "allow"}
        form |= {"email": email, "password": OF_PEOPLE}
        headers = {"Origin": gateway}
        async with browser.post(f"{gateway}{PAGE}", data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()


async def test_an_agent_is_enrolled_is_killed_and_continues(database: str, tmp_path: Path) -> None:
    migrate("gateway", database)
    home = tmp_path / "bridge"
    async with (
        open_remote(database, home) as remote,
        demo_on(database, signing_key=KEY.to_pem(), scale_bridge_url=remote.url) as harness,
        served(harness.app) as gateway,
        Line(home, int(gateway.rpartition(":")[2])) as line,
        a_scale(50, password=PASSWORD) as scale,
    ):
        weigher = await harness.create_account(WEIGHER)
        remote.tenant, remote.owner = SCALES.tenant, weigher.account_id
        _, headers = await harness.log_in(weigher, SCALES)
        enrolment = ("--enrol", "--gateway", line.url, "--name", "back room")
        async with run_program(*BRIDGE, str(home), *enrolment) as enrolling:
            code = await enrolling.wait_for_output(CODE)
            await let_in(gateway, str(weigher.person.email), code[0].decode())
            [enrolled] = [
                e for e in await events(harness.deps) if isinstance(e.event, DeviceEnrolled)
            ]
            react = enrolments().react_in_transaction
            assert react is not None
            await react(remote.context.system, enrolled)
            await eventually(lambda: is_connected(gateway, headers, remote))
            device_id = await remote.read(scale)
            # Through the gateway, too, the line may break.
            line.cut()
            operation_id = await remote.begin_upload(device_id, scale, "mute:13/09", Step.CHECK)
            assert await enrolling.stop(signal.SIGKILL) == -signal.SIGKILL
        assert await remote.ends(operation_id) == []
        scale.faults.set([])
        async with run_program(*BRIDGE, str(home)) as going_on:
            ended = await remote.end(operation_id)
            await eventually(lambda: is_connected(gateway, headers, remote))
            assert await going_on.stop() == 0

    assert (ended.outcome, ended.code) == ("verified", "")
    assert scale.base.products[0]["price"] == 5.5
    output = enrolling.output + going_on.output
    assert PASSWORD.encode() not in output
    assert b"Traceback" not in output, output.decode()


async def events(deps: Deps) -> list[Envelope[Any]]:
    """All events of the gateway."""
    pages = [page async for page in deps.store.log.read_all()]
    return [envelope(one, deps.store.decode(one)) for page in pages for one in page]


async def is_connected(gateway: str, headers: dict[str, str], remote: Remote) -> bool:
    """Whether its owner sees one bridge, connected."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{gateway}/scales/bridges", headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        listed: list[dict[str, Any]] = await answer.json()
    if [one["connected"] for one in listed] != [True]:
        return False
    remote.bridge = UUID(listed[0]["id"])
    return True


async def test_a_refused_agent_ends_with_the_reason(tmp_path: Path) -> None:
    async with run_program(*BRIDGE, str(tmp_path / "nowhere")) as program:
        assert await program.wait_for_exit() == 1
    assert b"not enrolled" in program.output


@pytest.mark.parametrize(
    "bad", ["http://shop.example", "ftp://127.0.0.1", "https://", "https://a:b@shop.example"]
)
def test_the_address_of_the_gateway_must_be_https(tmp_path: Path, bad: str) -> None:
    done = CliRunner().invoke(app, [*BRIDGE[1:], str(tmp_path), "--enrol", "--gateway", bad])

    assert done.exit_code == 2
    assert "--gateway" in done.output
