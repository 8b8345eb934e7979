"""Kafka is away under load: everything people see goes on, and other services catch up afterwards.

`AWAY=600` keeps it away for ten minutes.
"""

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from deploy.local.kafka import KafkaServer, start_kafka
from libs.testing.waiting import eventually
from tests.chaos.servers import start_again
from tests.e2e.conftest import EMAIL, PASSWORD
from tests.e2e.house import House, open_house, own_database
from tests.e2e.scans import DAY, get, scan, send
from tests.e2e.test_revocation import STATE, logged_in, pass_for, status

AWAY_SECONDS = float(os.environ.get("AWAY", "60"))


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    """A broker that may be stopped."""
    with start_kafka(tmp_path / "kafka") as server:
        yield server


@pytest.fixture
def house(postgres_url: str, kafka: KafkaServer, tmp_path: Path) -> Iterator[House]:
    """Gateway and two processes of ingest on that broker, with one account."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    told = {
        "GATEWAY_ADMIN_PASSWORD_FILE": str(password),
        "GATEWAY_VERIFY_NETWORKS": "127.0.0.1/32",
    }
    with (
        own_database(postgres_url) as database,
        open_house(database, kafka.bootstrap, **told) as it,
    ):
        who = ("--email", EMAIL, "--realm", "crm", "--tenant", "demo", "--role", "ADMIN")
        it.run("services.gateway", "create-admin", *who)
        yield it


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(900 + 2 * AWAY_SECONDS)
async def test_without_a_broker_screens_stay_fresh_and_what_was_done_reaches_others_later(
    house: House, kafka: KafkaServer
) -> None:
    async with house.client() as client:
        ended = await session_of(client, house)
        await asyncio.to_thread(kafka.stop)
        try:
            await end_session(client, house, ended["refresh_token"])
            await keep_scanning(client, AWAY_SECONDS)
        finally:
            await start_again(kafka)

        passed = ended["passed"]
        for url in house.ingests:
            await eventually(partial(status, client, url, passed), 401, what="the logout")


async def session_of(client: aiohttp.ClientSession, house: House) -> dict[str, Any]:
    """A session that ingest believes, with the pass it is believed by."""
    pair = await logged_in(client, house)
    passed = await pass_for(client, house, pair["access_token"])
    for url in house.ingests:
        await eventually(partial(status, client, url, passed), 200)
    return {**pair, "passed": passed}


async def end_session(client: aiohttp.ClientSession, house: House, token: str) -> None:
    url = f"{house.gateway}/api/v1/auth/logout"
    async with client.post(url, json={"refresh_token": token}) as answer:
        assert answer.status == 200


async def keep_scanning(client: aiohttp.ClientSession, seconds: float) -> None:
    """Send scans; the dashboard must have counted each as soon as it is asked with its token."""
    until, sent = monotonic() + seconds, 0
    while monotonic() < until:
        _, token = await send(client, *(scan() for _ in range(5)))
        sent += 5
        state = await get(client, STATE, token=token, date=DAY)
        assert state["summary"]["items"] == sent
        await asyncio.sleep(0.2)
