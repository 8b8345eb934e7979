"""A supervisor's dashboard hears of a scan as soon as it is counted, through the gateway."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from libs.clock import utc_now
from tests.e2e.house import KEY, House, open_house, post_until_known
from tests.services.ingest.listening import STREAM, Event, applied, read

PATIENCE_SECONDS = 30


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of its own."""
    made = Path(tempfile.mkdtemp(prefix="tillstream-stream-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def house(database: str, kafka_bootstrap: str, home: Path) -> Iterator[House]:
    """A gateway and an ingest whose heart beats fast."""
    told = {"INGEST_STREAM_HEARTBEAT_SECONDS": "0.3"}
    with open_house(database, kafka_bootstrap, home, told=told) as opened:
        yield opened


async def next_event(answer: aiohttp.ClientResponse, *kinds: str) -> Event:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            event = read((await answer.content.readuntil(b"\n\n")).decode().removesuffix("\n\n"))
            if event.name in kinds:
                return event


async def send(client: aiohttp.ClientSession, url: str) -> None:
    now = int(utc_now().timestamp() * 1000)
    scan = {"uuid": str(uuid4()), "ts": now, "type": "ITEM", "operator": "anna", "code": "777"}
    async with client.post(f"{url}/api/v1/events/batch", json={"events": [scan]}) as answer:
        assert (await answer.json())["inserted"] == 1


async def test_changes_pass_the_gateway_one_by_one_as_they_happen(house: House) -> None:
    await post_until_known(house.gateway, {"uuids": [str(uuid4())]})
    url = f"{house.gateway}{STREAM}"
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as client:
        async with client.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            first = await next_event(answer, "state")
            # Nothing more was said so far, and nothing is held back until more comes.
            await next_event(answer, "comment")
            state, last = first.data, first
            for number in (1, 2):
                await send(client, house.gateway)
                while (state["summary"]["items"], len(state["feed"])) != (number, number):
                    last = await next_event(answer, "cells")
                    state = applied(state, last)
        await send(client, house.gateway)
        async with client.get(url, headers={"Last-Event-ID": last.id or ""}) as answer:
            while (state["summary"]["items"], len(state["feed"])) != (3, 3):
                missed = await next_event(answer, "state", "cells")
                assert missed.name == "cells"
                state = applied(state, missed)

    assert first.data["operators"] == []
    assert [row["operator"] for row in state["operators"]] == ["anna"]
