"""A bridge daemon beside a house, which somebody lets in, and which may be killed."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from deploy.demo.office import Office
from deploy.local.files import tail
from deploy.local.settings import ROOT
from tests.e2e.scale_house import ACCOUNT, PATIENCE_SECONDS, Place, until

CODE: Final = re.compile(r"user_code=([A-Z0-9-]+)")
CSRF: Final = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass(kw_only=True, slots=True)
class Daemon:
    """A bridge of its own beside the house, which its owner's system starts again."""

    state: Path
    running: subprocess.Popen[bytes]
    id: str = ""

    def kill(self) -> None:
        """For good; another begins at once."""
        self.running.kill()
        self.running.wait()
        self.running = _daemon(self.state, "--loopback")


@asynccontextmanager
async def a_daemon(place: Place, state: Path) -> AsyncIterator[Daemon]:
    """A daemon that was let in, and is connected."""
    enrolling = ("--loopback", "--enrol", "--gateway", place.url, "--name", "the shop's")
    daemon = Daemon(state=state, running=_daemon(state, *enrolling))
    said = state.with_suffix(".log")
    try:
        async with aiohttp.ClientSession() as session:
            office = Office(session, place.url, ACCOUNT, patience=PATIENCE_SECONDS)
            await office.log_in()

            async def asks() -> bool:
                return CODE.search(said.read_text()) is not None

            await until(asks, "the daemon shows its code", lambda: tail(said))
            await _let_in(place.url, CODE.findall(said.read_text())[0])

            async def connected() -> bool:
                found = (await office.insist("GET", "/scales/bridges")).body
                daemon.id = next((one["id"] for one in found if one["connected"]), "")
                return daemon.id != ""

            await until(connected, "the daemon is there", lambda: tail(said))
        yield daemon
    finally:
        daemon.running.terminate()
        daemon.running.wait(30)


def _daemon(state: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = (sys.executable, "-m", "services.scale_bridge", "bridge", "--state", str(state))
    env = os.environ | {"COLUMNS": "200"}
    with state.with_suffix(".log").open("ab") as words:
        return subprocess.Popen([*command, *options], cwd=ROOT, env=env, stdout=words, stderr=words)


async def _let_in(url: str, code: str) -> None:
    """Say yes on the gateway's page."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        page = f"{url}/oauth/device"
        async with browser.get(page) as answer:
            csrf = CSRF.search(await answer.text())
        assert csrf is not None
        form = {"csrf": csrf[1], "user_code": code, "answer": "allow"}
        login = {"email": ACCOUNT.email, "password": ACCOUNT.password}
        async with browser.post(page, data={**form, **login}) as answer:
            said = await answer.text()
            assert answer.status == 200, said
