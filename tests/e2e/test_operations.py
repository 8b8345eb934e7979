"""What those who run it rely on: limits that lose nothing, a quarantine, and metrics that tell."""

import asyncio
import json
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from libs.testing.waiting import eventually
from services.ingest.__main__ import app
from tests.e2e.house import House
from tests.e2e.scans import BATCH, DAY, QUARANTINE, get, scan, send

RELAYED = "tillstream_relayed_events_total"
FRESHNESS = "tillstream_freshness_seconds_sum"
BACKLOG, LAG = "tillstream_relay_backlog_events", "tillstream_projection_lag_events"
GROWTH = {
    "ingest_scans_accepted_total": 2,
    "ingest_scans_duplicate_total": 1,
    "ingest_scans_quarantined_total": 1,
    "ingest_items_removed_total": 1,
    "ingest_batch_events_count": 2,
    "ingest_batch_events_sum": 4,
    "ingest_quarantine_open": 1,
}


async def insist(client: aiohttp.ClientSession, *events: Any) -> tuple[int, dict[str, Any]]:
    """Send as the scanner does, again and again; how often it was refused, and the answer."""
    refused = 0
    while True:
        async with client.post(BATCH, json={"events": events}) as answer:
            if answer.status == 200:
                return refused, await answer.json()
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) >= 1
        refused += 1
        await asyncio.sleep(0.2)


async def test_a_limit_slows_down_and_loses_nothing(client: aiohttp.ClientSession) -> None:
    refused, sent = 0, 0
    while not refused:  # a machine that is slow enough never comes to the limit with the first few
        batches = [[scan() for _ in range(3)] for _ in range(30)]
        answers = await asyncio.gather(*(insist(client, *batch) for batch in batches))
        assert [answer["inserted"] for _, answer in answers] == [3] * 30
        refused, sent = sum(often for often, _ in answers), sent + 90

    assert await eventually(lambda: total(client), sent) == sent


async def total(client: aiohttp.ClientSession) -> int:
    return int((await get(client, "/api/v1/dashboard/raw", date=DAY))["total"])


async def quarantined(client: aiohttp.ClientSession, uuid: str, status: str) -> Any:
    listed = await get(client, QUARANTINE, status=status)
    return next((one for one in listed["events"] if one["uuid"] == uuid), None)


async def test_a_quarantined_event_is_found_mended_and_counted(house: House) -> None:
    async with house.client(tenant="demo") as client:
        bad = scan(code=7, client="mended")
        await send(client, bad)
        kept = await eventually(lambda: quarantined(client, bad["uuid"], "open"))
        printed = await house.invoke(app, "quarantine", "show", kept["id"], "--json")
        assert json.loads(printed)["wrong"][0]["field"] == "code"

        path = f"{QUARANTINE}/{kept['id']}/mend"
        async with client.post(path, json={"patch": {"code": "7"}}) as answer:
            assert (answer.status, await answer.json()) == (
                200,
                {"ok": True, "status": "mended", "scanId": bad["uuid"], "duplicate": False},
            )
            token = answer.headers["X-Consistency-Token"]
        async with client.post(path, json={"patch": {"code": "8"}}) as late:
            assert late.status == 409

        state = await get(client, "/api/v1/dashboard/state", token=token, date=DAY, client="mended")
        assert state["summary"]["items"] == 1
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
    ingest = house.ingests[0]  # the one that the gateway knows
    await eventually(lambda: settled(house), what="everything earlier is applied")
    before, (relayed, fresh) = await scraped(ingest), await added(house, RELAYED, FRESHNESS)
    good, bad = scan(), scan(ts=5)
    await send(client, good, scan(), bad)
    await send(client, good)
    order = {"operator": "anna", "box": good["box"], "code": good["code"]}
    async with client.post("/api/v1/events/remove", json=order) as answer:
        assert (await answer.json())["removed_count"] == 1
    await eventually(lambda: quarantined(client, bad["uuid"], "open"))
    await eventually(lambda: settled(house, relayed + 5))

    async def grown() -> dict[str, float]:
        after = await scraped(ingest)
        return {name: after[name] - before.get(name, 0.0) for name in GROWTH}

    await eventually(grown, GROWTH)
    now, parked = await added(house, FRESHNESS, "tillstream_parked_streams")
    assert 0 < now - fresh < 60 * 60
    assert parked == 0


async def added(house: House, *names: str) -> list[float]:
    """Samples, added up over the processes of ingest."""
    now = [await scraped(url) for url in house.ingests]
    return [sum(one.get(name, 0.0) for one in now) for name in names]


async def settled(house: House, relayed: float = 0.0) -> bool:
    """Whether so much was relayed, and relay and projectors have nothing left to do."""
    now = [await scraped(url) for url in house.ingests]
    # They are measured once a second: at first not yet, and later a moment ago.
    waiting = [one[name] for name in (BACKLOG, LAG) for one in now if name in one]
    return sum(one.get(RELAYED, 0.0) for one in now) >= relayed and {*waiting} == {0.0}


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
