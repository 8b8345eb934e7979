"""What those who run it rely on: a quarantine, and metrics that tell."""

import json
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from libs.testing.polling import eventually
from services.ingest.__main__ import app
from tests.e2e.house import House
from tests.e2e.scans import DAY, QUARANTINE, get, scan, send

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


async def test_requests_and_events_are_measured(
    house: House, client: aiohttp.ClientSession
) -> None:
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
