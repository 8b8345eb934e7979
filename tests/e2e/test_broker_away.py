"""Kafka is away under load: what people see goes on, and what happened is published afterwards.

`AWAY=600` keeps it away for ten minutes.
"""

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import aiohttp
import asyncpg
import pytest

from deploy.local.kafka import KafkaServer, start_kafka
from libs.testing.waiting import eventually
from tests.chaos.servers import start_again
from tests.e2e.house import House, open_house, own_database
from tests.e2e.scans import DAY, get, scan, send
from tests.e2e.test_revocation import STATE

AWAY_SECONDS = float(os.environ.get("AWAY", "60"))
LEVEL: Final = """SELECT confirmed AND next_seq - 1 = (SELECT count(*) FROM ingest.events)
FROM ingest.relay"""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    """A broker that may be stopped."""
    with start_kafka(tmp_path / "kafka") as server:
        yield server


@pytest.fixture
def house(postgres_url: str, kafka: KafkaServer) -> Iterator[House]:
    """Gateway and two processes of ingest on that broker."""
    with own_database(postgres_url) as database, open_house(database, kafka.bootstrap) as it:
        yield it


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(900 + 2 * AWAY_SECONDS)
async def test_without_a_broker_screens_stay_fresh_and_nothing_is_lost(
    house: House, kafka: KafkaServer
) -> None:
    async with house.client() as client:
        await asyncio.to_thread(kafka.stop)
        try:
            await keep_scanning(client, AWAY_SECONDS)
        finally:
            await start_again(kafka)
    await eventually(partial(is_level, house.database_url), what="the relay to catch up")


async def is_level(database_url: str) -> bool:
    """Whether Kafka has all of ingest's log."""
    connection = await asyncpg.connect(database_url)
    try:
        return bool(await connection.fetchval(LEVEL))
    finally:
        await connection.close()


async def keep_scanning(client: aiohttp.ClientSession, seconds: float) -> None:
    """Send scans; the dashboard must have counted each as soon as it is asked with its token."""
    until, sent = monotonic() + seconds, 0
    while monotonic() < until:
        _, token = await send(client, *(scan() for _ in range(5)))
        sent += 5
        state = await get(client, STATE, token=token, date=DAY)
        assert state["summary"]["items"] == sent
        await asyncio.sleep(0.2)
