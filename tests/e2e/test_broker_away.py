"""Kafka is away under load: what people see goes on, and what happened reaches others afterwards.

`AWAY=600` keeps it away for ten minutes where it is away for long.
"""

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from deploy.local.kafka import KafkaServer, start_kafka
from libs.testing.polling import eventually
from tests.chaos.servers import start_again
from tests.e2e.conftest import EMAIL, PASSWORD
from tests.e2e.house import House, open_house, own_database
from tests.e2e.scans import DAY, get, scan, send
from tests.e2e.test_revocation import STATE, knows_revocations, logged_in, pass_for, status

SHORT_SECONDS: Final = 8.0
LONG_SECONDS: Final = float(os.environ.get("AWAY", "60"))
LEVEL: Final = """SELECT confirmed AND next_seq - 1 = (SELECT count(*) FROM ingest.events)
FROM ingest.relay"""


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
    overrides = {
        "GATEWAY_ADMIN_PASSWORD_FILE": str(password),
        "GATEWAY_VERIFY_NETWORKS": "127.0.0.1/32",
        # A pass outlives the absence, so that only a logout ends it.
        "GATEWAY_TOKEN_SECONDS": "900",
    }
    with (
        own_database(postgres_url) as database,
        open_house(database, kafka.bootstrap, **overrides) as it,
    ):
        who = ("--email", EMAIL, "--realm", "crm", "--tenant", "demo", "--role", "ADMIN")
        it.run("services.gateway", "create-admin", *who)
        yield it


@pytest.mark.slow
@pytest.mark.timeout(900 + 2 * LONG_SECONDS)
@pytest.mark.parametrize(
    "seconds", [SHORT_SECONDS, pytest.param(LONG_SECONDS, marks=pytest.mark.system)]
)
async def test_without_a_broker_dashboards_stay_fresh_and_events_reach_others_later(
    house: House, kafka: KafkaServer, seconds: float
) -> None:
    async with house.client() as client, aiohttp.ClientSession() as person:
        for url in house.ingests:
            await eventually(partial(knows_revocations, person, url))
        ended, another = await session_of(person, house), await session_of(person, house)
        await asyncio.to_thread(kafka.stop)
        try:
            await end_session(person, house, ended["refresh_token"])
            await keep_scanning(client, seconds)
            # Relays and reactions are late; what is answered is not.
            for url in (*house.ingests, house.gateway):
                assert await ready(person, url) == 200
            # No way leads from the gateway's log to the services without Kafka.
            assert await statuses(person, house, ended) == [200, 200]
        finally:
            await start_again(kafka)
        await eventually(partial(statuses, person, house, ended), [401, 401], what="the logout")
        assert await statuses(person, house, another) == [200, 200]
    await eventually(partial(is_level, house.database_url), what="the relay to catch up")


async def is_level(database_url: str) -> bool:
    """Whether Kafka has all of ingest's log."""
    connection = await asyncpg.connect(database_url)
    try:
        return bool(await connection.fetchval(LEVEL))
    finally:
        await connection.close()


async def ready(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(f"{url}/ready?for=requests") as answer:
        return answer.status


async def session_of(client: aiohttp.ClientSession, house: House) -> dict[str, Any]:
    """A new session, with the pass that services believe."""
    pair = await logged_in(client, house)
    return {**pair, "pass": await pass_for(client, house, pair["access_token"])}


async def statuses(
    client: aiohttp.ClientSession, house: House, session: dict[str, Any]
) -> list[int]:
    """What each process of ingest answers the session."""
    return [await status(client, url, session["pass"]) for url in house.ingests]


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
