"""The daemon as a process of its own, let in through a running gateway, killed and restarted."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp

from contracts.envelope import Envelope
from contracts.gateway import DeviceEnrolled
from deploy.local.ports import free_port
from libs.eventsourcing.store import envelope
from libs.postgres.migrate import migrate
from services.gateway import bootstrap
from services.gateway.deps import Deps
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.reactions.enrolment import enrolments
from tests.services.gateway.api.device import CSRF, PAGE
from tests.services.gateway.api.inside import (
    PASSWORD as OF_PEOPLE,
)
from tests.services.gateway.api.inside import (
    SCALES,
    WEIGHER,
    gateway_on,
    inside,
    some_email,
    somebody,
)
from tests.services.gateway.test_bootstrap import served
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import Line
from tests.services.scale_bridge.bridging import (
    PASSWORD,
    House,
    standing,
    until,
)

CODE: Final = re.compile(rb"\b[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}\b")


class Program:
    """The daemon's process, and all that it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = b""
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.said += chunk

    async def kill(self, number: int = signal.SIGKILL) -> int:
        """Its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self._listening
        return await self.process.wait()


@asynccontextmanager
async def program(home: Path, *more: str) -> AsyncIterator[Program]:
    command = [sys.executable, "-m", "services.scale_bridge", "bridge", "--loopback"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--state",
        str(home),
        *more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    started = Program(process)
    try:
        yield started
    finally:
        await started.kill()


async def let_in(gateway: str, email: str, code: str) -> None:
    """What somebody does on the approval page."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(f"{gateway}{PAGE}") as page:
            csrf = CSRF.search(await page.text())
        assert csrf is not None
        form = {
            "csrf": csrf[1],
            "user_code": code,
            "email": email,
            "password": OF_PEOPLE,
            "answer": "allow",
        }
        headers = {"Origin": gateway}
        async with browser.post(f"{gateway}{PAGE}", data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()


async def test_a_bridge_is_let_in_works_dies_and_goes_on(database: str, tmp_path: Path) -> None:
    migrate("gateway", database)
    home = tmp_path / "bridge"
    async with (
        standing(database) as house,
        gateway_on(database, signing_key=house.key.to_pem(), scale_bridge_url=house.url) as deps,
        served(bootstrap.create_app(deps)) as gateway,
        Line(free_port(), int(gateway.rpartition(":")[2])) as line,
        a_scale(50, password=PASSWORD) as scale,
    ):
        email = some_email()
        weigher = await somebody(deps, WEIGHER, email=email)
        house.tenant, house.owner = SCALES.tenant, weigher.account_id
        _, headers = await inside(deps, weigher.account_id, SCALES)
        url = f"http://{line.address}"
        async with program(home, "--enrol", "--gateway", url, "--name", "back room") as enrolling:
            await until(lambda: CODE.search(enrolling.said))
            found = CODE.search(enrolling.said)
            assert found is not None
            await let_in(gateway, email, found[0].decode())
            [enrolled] = [e for e in await told(deps) if isinstance(e.event, DeviceEnrolled)]
            await enrolments(house.desk).react(enrolled)
            await until(lambda: is_connected(gateway, headers, house))
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            # Through the gateway, too, the line may break.
            line.cut()
            scale.scale.faults.set(["mute:13/09"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.CHECK in scale.transcript.steps())
            assert await enrolling.kill() == -signal.SIGKILL
        assert await house.ends(operation_id) == []
        scale.scale.faults.set([])
        async with program(home) as going_on:
            ended = await house.end(operation_id)
            await until(lambda: is_connected(gateway, headers, house))
            assert await going_on.kill(signal.SIGTERM) == 0

    assert (ended.outcome, ended.code) == ("verified", "")
    assert scale.base.products[0]["price"] == 5.5
    said = enrolling.said + going_on.said
    assert PASSWORD.encode() not in said
    assert b"Traceback" not in said, said.decode()


async def told(deps: Deps) -> list[Envelope[Any]]:
    """All that the gateway ever announced."""
    pages = [page async for page in deps.store.log.read_all()]
    return [envelope(one, deps.store.decode(one)) for page in pages for one in page]


async def is_connected(gateway: str, headers: dict[str, str], house: House) -> bool:
    """Whether its owner sees one bridge, connected."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{gateway}/scales/bridges", headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        listed: list[dict[str, Any]] = await answer.json()
    if [one["connected"] for one in listed] != [True]:
        return False
    house.bridge = UUID(listed[0]["id"])
    return True


async def test_who_is_not_enrolled_is_told_so(tmp_path: Path) -> None:
    async with program(tmp_path / "nobody") as started:
        status = await started.process.wait()
    assert status == 1
    assert b"not enrolled" in started.said


async def test_a_gateway_must_be_spoken_to_in_secret(tmp_path: Path) -> None:
    for bad in ("http://shop.example", "ftp://127.0.0.1", "https://", "https://a:b@shop.example"):
        async with program(tmp_path, "--enrol", "--gateway", bad) as started:
            status = await started.process.wait()
        assert status == 2
        assert b"--gateway" in started.said
