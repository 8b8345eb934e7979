"""The morning of §11 has the same result however often and in whatever order it is sent."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from libs.testing.polling import eventually
from services.ingest.__main__ import app
from tests.e2e.house import House
from tests.e2e.scans import DAY, TS, get, scan, send
from tests.services.ingest.test_golden import the_morning

pytestmark = pytest.mark.slow

API = "/api/v1"
READ_MODELS = ("activity", "presence", "scan_log", "box")
SUMMARY = {"items": 3, "opens": 2, "closes": 1, "errors": 2, "autoCloses": 1, "removed": 0}


@pytest.fixture
async def client(house: House) -> AsyncIterator[aiohttp.ClientSession]:
    """A caller of both processes of ingest, of a tenant of its own."""
    headers = house.bearer(tenant=f"golden-{uuid4().hex[:12]}")
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


async def numbers(client: aiohttp.ClientSession, url: str, token: str | None = None) -> Any:
    """The displayed morning, without what depends on when it was received."""
    url = f"{url}{API}"
    state, boxes, raw = [
        await get(client, f"{url}/dashboard/{what}", token=token, date=DAY)
        for what in ("state", "boxes", "raw")
    ]
    rows = csv.reader(io.StringIO(await get(client, f"{url}/export/csv", date=DAY)), delimiter=";")
    (shop,) = boxes["clients"]
    return {
        "summary": state["summary"],
        "clients": state["clients"],
        "items": [one["itemsToday"] for one in state["operators"]],
        "boxes": [(one["boxNo"], one["itemsCount"]) for one in shop["cities"][0]["boxes"]],
        "raw": (raw["total"], sorted((row["ts"], row["type"], row["code"]) for row in raw["logs"])),
        "csv": [row[:9] for row in rows],
    }


async def test_two_processes_a_rebuild_and_an_import_have_the_same_result(
    house: House, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    one, other = house.ingests
    events = the_morning(DAY)
    halves = Random(3).sample(events, 11)
    (first, _), (second, _) = await asyncio.gather(
        send(client, *halves[:7], url=one), send(client, *halves[4:], url=other)
    )
    assert first["inserted"] + second["inserted"] == 11
    assert first["skipped"] + second["skipped"] == 3
    again, token = await send(client, *Random(4).sample(events, 11), url=other)
    assert (again["inserted"], again["skipped"], len(again["duplicates"])) == (0, 11, 11)

    morning = await numbers(client, one, token)
    assert (morning["summary"], len(morning["csv"]), morning["raw"][0]) == (SUMMARY, 12, 11)
    assert await numbers(client, other, token) == morning

    await rebuild(house)
    assert await numbers(client, one) == morning

    exported = tmp_path / "morning.csv"
    exported.write_text(await get(client, f"{one}{API}/export/csv", date=DAY), "utf-8-sig")

    await remove_one_of_box_8(client, one, events)
    await rebuild(house)
    rest = await numbers(client, other)
    assert (rest["items"], rest["boxes"], rest["raw"][0]) == ([2], [("8", 1), ("10", 1)], 10)
    removals = await get(client, f"{other}{API}/dashboard/raw", type="BULK_REMOVE")
    assert removals["total"] == 1
    await import_tells_the_same(house, exported, morning)
    await a_wrong_import_is_taken_back(house, exported, morning)


async def rebuild(house: House) -> None:
    for name in READ_MODELS:
        assert "switched" in await house.invoke(app, "rebuild", "build", name)


async def remove_one_of_box_8(
    client: aiohttp.ClientSession, url: str, events: list[dict[str, Any]]
) -> None:
    removed = {"operator": "chief", "uuids": [events[2]["uuid"]], "reason": "twice"}
    async with client.post(f"{url}{API}/events/bulk-remove", json=removed) as answer:
        assert (await answer.json())["removed_count"] == 1
    sent, token = await send(client, *events, url=url)
    assert (sent["inserted"], sent["skipped"]) == (0, 11)
    await get(client, f"{url}{API}/dashboard/state", token=token, date=DAY)


async def import_tells_the_same(house: House, exported: Path, morning: Any) -> None:
    """The file, imported twice into a tenant that has nothing yet, gives the morning's numbers."""
    tenant, url = f"imported-{uuid4().hex[:12]}", house.ingests[0]
    arguments = ("services.ingest", "import", str(exported), "--tenant", tenant)
    async with aiohttp.ClientSession(headers=house.bearer(tenant=tenant)) as client:

        async def items() -> tuple[int, int, int]:
            """An import gives no token to wait with."""
            state = await get(client, f"{url}{API}/dashboard/state", date=DAY)
            boxes = await get(client, f"{url}{API}/dashboard/boxes", date=DAY)
            rows = await get(client, f"{url}{API}/dashboard/raw", date=DAY)
            return state["summary"]["errors"], boxes["totalItems"], rows["total"]

        for _ in range(2):
            assert "11" in await asyncio.to_thread(house.run, *arguments)
            await eventually(items, (2, 3, 11))
            assert await numbers(client, url) == morning


def a_wrong_one_of(exported: Path) -> Path:
    """Another box, and an operator that was read in the wrong encoding."""
    text = exported.read_text("utf-8-sig").replace("ivancov/8", "petrov/9")
    wrong = exported.with_name("wrong.csv")
    wrong.write_text(text.replace(";testscanner;", ";РџРµС‚СЂ;"), "utf-8-sig")
    return wrong


async def a_wrong_import_is_taken_back(house: House, exported: Path, morning: Any) -> None:
    """And the right one, under the same ids, gives the morning's numbers."""
    tenant, url = f"mended-{uuid4().hex[:12]}", house.ingests[0]
    wrong = a_wrong_one_of(exported)
    async with aiohttp.ClientSession(headers=house.bearer(tenant=tenant)) as client:

        async def rows() -> int:
            total: int = (await get(client, f"{url}{API}/dashboard/raw", date=DAY))["total"]
            return total

        arguments = ("services.ingest", "import", "--tenant", tenant)
        output = await asyncio.to_thread(house.run, *arguments, str(wrong))
        run = re.search(r"--undo (\S+)", output)
        assert run is not None, output
        await eventually(rows, 11)
        await house.invoke(app, "import", "--tenant", tenant, "--undo", run[1])
        assert await rows() == 0
        await asyncio.to_thread(house.run, *arguments, str(exported))
        await eventually(rows, 11)
        await rebuild(house)
        assert await numbers(client, url) == morning


async def test_240_parallel_identical_batches_are_all_answered_and_counted_once(
    house: House, client: aiohttp.ClientSession
) -> None:
    batches = [
        [scan(ts=TS - 1_200_000 + n, operator=f"operator-{batch % 5}") for n in range(20)]
        for batch in range(40)
    ]
    answers = await asyncio.gather(
        *(
            send(client, *batch, url=house.ingests[time % 2])
            for batch in batches
            for time in range(6)
        )
    )
    tokens, bodies = ",".join({token for _, token in answers}), [body for body, _ in answers]

    assert len(bodies) == 240
    assert all(body["ok"] and not body["errors"] for body in bodies)
    assert all(body["inserted"] + body["skipped"] == 20 for body in bodies)
    assert sum(body["inserted"] for body in bodies) == 800
    url = f"{house.ingests[1]}{API}/dashboard/state"
    assert (await get(client, url, token=tokens, date=DAY))["summary"]["items"] == 800
