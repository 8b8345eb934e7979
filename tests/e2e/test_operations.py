"""What those who run it rely on: limits that lose nothing, a quarantine, and metrics that tell."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.postgres import query
from tests.e2e.house import KEY, House, open_house, post_until_known

BATCH = "/api/v1/events/batch"
TS = 1_761_901_200_000
RELAYED = "tillstream_relayed_events_total"
BACKLOG, LAG = "tillstream_relay_backlog_events", "tillstream_projection_lag_events"
DAY = "date=2025-10-31"


@pytest.fixture(scope="module")
def house(postgres_url: str, kafka_bootstrap: str) -> Iterator[House]:
    """A house that takes ten batches per second from one address."""
    home = Path(tempfile.mkdtemp(prefix="tillstream-operations-"))
    name = f"operations_{uuid4().hex}"
    query(postgres_url, f"create database {name}")
    database = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    told = {"GATEWAY_RATE_LIMIT_INGEST": "10/second"}
    try:
        with open_house(database, kafka_bootstrap, home, told=told) as opened:
            yield opened
    finally:
        query(postgres_url, f"drop database {name} with (force)")
        shutil.rmtree(home)


@pytest.fixture
async def client(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    """A scanner, or a dashboard, at the gateway."""
    await post_until_known(house.gateway, {"uuids": ["x"]})
    async with aiohttp.ClientSession(house.gateway, headers={"X-API-Key": KEY}) as session:
        yield session


def event(**changes: Any) -> dict[str, Any]:
    told = {"uuid": str(uuid4()), "ts": TS, "type": "ITEM", "operator": "anna", "code": "1"}
    return told | {"client": "ivancov", "city": "Novosem", "box": "ivancov/8"} | changes


async def told(client: aiohttp.ClientSession, path: str) -> Any:
    async with client.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.05)


async def send(client: aiohttp.ClientSession, *events: Any) -> tuple[int, dict[str, Any]]:
    """Send as the scanner does, again and again; how often it was refused, and the answer."""
    refused = 0
    async with asyncio.timeout(60):
        while True:
            async with client.post(BATCH, json={"events": events}) as answer:
                if answer.status == 200:
                    return refused, await answer.json()
                assert answer.status == 429
                assert int(answer.headers["Retry-After"]) >= 1
            refused += 1
            await asyncio.sleep(0.2)


async def test_a_limit_slows_down_and_loses_nothing(client: aiohttp.ClientSession) -> None:
    box = f"storm/{uuid4()}"
    batches = [[event(client="storm", box=box) for _ in range(3)] for _ in range(30)]

    answers = await asyncio.gather(*(send(client, *batch) for batch in batches))

    assert sum(refused for refused, _ in answers) > 0
    assert [answer["inserted"] for _, answer in answers] == [3] * 30
    await until(lambda: total(client, 90))


async def total(client: aiohttp.ClientSession, expected: int) -> bool:
    found = await told(client, f"/api/v1/dashboard/raw?{DAY}&client=storm")
    assert found["total"] <= expected
    return bool(found["total"] == expected)


async def quarantined(client: aiohttp.ClientSession, uuid: str, status: str) -> Any:
    found = await told(client, f"/api/v1/quarantine?status={status}")
    return next((one for one in found["events"] if one["uuid"] == uuid), None)


async def test_a_quarantined_event_is_found_mended_and_counted(
    house: House, client: aiohttp.ClientSession
) -> None:
    bad = event(code=7, client="mended")
    await send(client, bad)
    await until(lambda: quarantined(client, bad["uuid"], "open"))
    kept = await quarantined(client, bad["uuid"], "open")
    said = await asyncio.to_thread(
        house.run, "services.ingest", "quarantine", "show", kept["id"], "--json"
    )
    assert json.loads(said)["wrong"][0]["field"] == "code"

    path = f"/api/v1/quarantine/{kept['id']}/mend"
    async with client.post(path, json={"patch": {"code": "7"}}) as answer:
        assert (answer.status, await answer.json()) == (
            200,
            {"ok": True, "status": "mended", "scanId": bad["uuid"], "duplicate": False},
        )
        token = answer.headers["X-Consistency-Token"]
    async with client.post(path, json={"patch": {"code": "8"}}) as late:
        assert late.status == 409

    state = f"/api/v1/dashboard/state?{DAY}&client=mended"
    async with client.get(state, headers={"X-Consistency-Token": token}) as answer:
        assert (await answer.json())["summary"]["items"] == 1
    assert (await quarantined(client, bad["uuid"], "mended"))["scanId"] == bad["uuid"]


async def scraped(url: str) -> dict[str, float]:
    """Every sample, added up over its labels."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def test_what_happens_is_measured(house: House, client: aiohttp.ClientSession) -> None:
    (ingest,) = house.ingests
    before = await scraped(ingest)
    good, bad = event(client="measured", box="measured/1"), event(ts=5)
    await send(client, good, event(client="measured"), bad)
    await send(client, good)
    order = {"operator": "anna", "box": good["box"], "code": good["code"]}
    async with client.post("/api/v1/events/remove", json=order) as answer:
        assert (await answer.json())["removed_count"] == 1
    await until(lambda: quarantined(client, bad["uuid"], "open"))
    await until(lambda: settled(ingest, before.get(RELAYED, 0.0) + 5))

    after = await scraped(ingest)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("ingest_scans_accepted_total") == 2
    assert grown("ingest_scans_duplicate_total") == 1
    assert grown("ingest_scans_quarantined_total") == 1
    assert grown("ingest_items_removed_total") == 1
    assert (grown("ingest_batch_events_count"), grown("ingest_batch_events_sum")) == (2, 4)
    assert grown("ingest_quarantine_open") == 1
    assert grown(RELAYED) >= 5
    assert grown("tillstream_freshness_seconds_count") > 0
    assert 0 < grown("tillstream_freshness_seconds_sum") < 60 * 60
    assert after["tillstream_parked_streams"] == 0


async def settled(ingest: str, relayed: float) -> bool:
    """Whether so much was relayed, and relay and projectors have nothing left to do."""
    now = await scraped(ingest)
    # They are measured once a second: at first not yet, and later a moment ago.
    waiting = (now.get(name) for name in (BACKLOG, LAG))
    return now.get(RELAYED, 0.0) >= relayed and [*waiting] == [0, 0]


async def test_the_world_sees_no_metrics_and_of_the_documentation_only_the_doors(
    house: House, client: aiohttp.ClientSession
) -> None:
    assert await scraped(house.gateway)
    outside = {"X-Forwarded-For": "203.0.113.9"}
    for path in ("/metrics", "/scan/metrics"):
        async with client.get(path, headers=outside) as answer:
            assert answer.status == 404, path
    for path in ("/docs", "/redoc", "/openapi.json", "/scan/docs"):
        async with client.get(path, headers=outside) as answer:
            assert answer.status == 200, path
            text = await answer.text()
        assert not [inner for inner in ("/metrics", "/ready", "/auth/verify") if inner in text]
