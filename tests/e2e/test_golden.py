"""The morning of §11 comes out right whoever takes it in, however often, and in whatever order.

Longer than most: one morning, told every way there is to tell it.
"""

import asyncio
import csv
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.e2e.house import House, open_house
from tests.services.ingest.test_golden import the_morning

DAY = "2025-10-31"
READ_MODELS = ("activity", "presence", "scan_log", "box")
TOKEN = "X-Consistency-Token"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of its own."""
    made = Path(tempfile.mkdtemp(prefix="tillstream-golden-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def house(database: str, kafka_bootstrap: str, home: Path) -> Iterator[House]:
    """A gateway and two ingest processes over one log."""
    with open_house(database, kafka_bootstrap, home, ingests=2) as opened:
        yield opened


async def send(client: aiohttp.ClientSession, url: str, events: list[Any]) -> tuple[Any, str]:
    async with client.post(f"{url}/api/v1/events/batch", json={"events": events}) as answer:
        assert answer.status == 200
        return await answer.json(), answer.headers[TOKEN]


async def ask(
    client: aiohttp.ClientSession, url: str, path: str, token: str | None = None, **query: str
) -> Any:
    headers = {TOKEN: token} if token else {}
    async with client.get(
        f"{url}/api/v1/{path}", params={"date": DAY} | query, headers=headers
    ) as answer:
        assert answer.status == 200, await answer.text()
        assert "X-Stale" not in answer.headers
        if "json" in answer.headers["Content-Type"]:
            return await answer.json()
        return (await answer.read()).decode("utf-8-sig")


async def numbers(client: aiohttp.ClientSession, url: str, token: str | None = None) -> Any:
    """All of §11 that does not depend on the present moment."""
    state = await ask(client, url, "dashboard/state", token)
    boxes = await ask(client, url, "dashboard/boxes", token)
    errors = await ask(client, url, "dashboard/raw", token, type="ERROR")
    rows = await ask(client, url, "export/csv")
    operator = state["operators"][0]
    return {
        "summary": {
            name: state["summary"][name] for name in ("items", "opens", "closes", "errors")
        },
        "clients": [
            (one["client"], one["items"], one["boxesOpen"], one["boxesClose"], one["errors"])
            for one in state["clients"]
        ],
        "operator": {
            name: operator[name]
            for name in ("operator", "itemsToday", "errorsToday", "lastCity", "lastBox")
        },
        "boxes": [
            (client["client"], city["city"], box["boxNo"], box["itemsCount"], box["status"])
            for client in boxes["clients"]
            for city in client["cities"]
            for box in city["boxes"]
        ],
        "errors": (errors["total"], [row["ts"] for row in errors["logs"]]),
        "csv": [row[1:3] + row[7:8] for row in csv.reader(io.StringIO(rows), delimiter=";")],
    }


async def as_received(client: aiohttp.ClientSession, url: str, token: str) -> Any:
    """The morning, its last box that of what was received last: of two halves either may be."""
    newest = (await ask(client, url, "dashboard/raw", token))["logs"][0]
    last = {"lastBox": newest["box"] or "—"}
    return MORNING_NUMBERS | {"operator": MORNING_NUMBERS["operator"] | last}


MORNING_NUMBERS: dict[str, Any] = {
    "summary": {"items": 3, "opens": 2, "closes": 1, "errors": 2},
    "clients": [("ivancov", 3, 2, 1, 0), ("—", 0, 0, 0, 2)],
    "operator": {
        "operator": "testscanner",
        "itemsToday": 3,
        "errorsToday": 2,
        "lastCity": "Novosem",
        "lastBox": "—",
    },
    "boxes": [
        ("ivancov", "Novosem", "8", 2, "closed"),
        ("ivancov", "Novosem", "10", 1, "closed"),
    ],
    "errors": (2, ["31.10.2025 09:14:00", "31.10.2025 09:13:00"]),
    "csv": [
        ["ts", "type", "code"],
        ["31.10.2025 08:00:00", "CITY", '="Novosem"'],
        ["31.10.2025 08:01:00", "BOX", '="ivancov/8"'],
        ["31.10.2025 08:02:05", "ITEM", '="2042469234860"'],
        ["31.10.2025 08:03:05", "ITEM", '="2042469234860"'],
        ["31.10.2025 08:10:00", "CLOSE", '="ivancov/8"'],
        ["31.10.2025 08:11:00", "BOX", '="ivancov/10"'],
        ["31.10.2025 08:12:05", "ITEM", '="777"'],
        ["31.10.2025 09:12:00", "AUTO_CLOSE", '="ivancov/10"'],
        ["31.10.2025 09:13:00", "ERROR", '="NO_BOX"'],
        ["31.10.2025 09:14:00", "ERROR", '="CYRILLIC_ERROR"'],
        ["31.10.2025 09:15:00", "CITY_CLOSE", '="Novosem"'],
    ],
}


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_two_processes_a_rebuild_and_an_import_all_tell_the_same_morning(
    house: House, postgres_url: str, kafka_bootstrap: str, home: Path
) -> None:
    one, other = house.ingests
    events = the_morning(DAY)
    async with aiohttp.ClientSession(headers=house.bearer()) as client:
        halves = Random(3).sample(events, 11)
        (first, _), (second, _) = await asyncio.gather(
            send(client, one, halves[:7]), send(client, other, halves[4:])
        )
        assert first["inserted"] + second["inserted"] == 11
        assert first["skipped"] + second["skipped"] == 3
        again, token = await send(client, other, Random(4).sample(events, 11))
        assert (again["inserted"], again["skipped"], len(again["duplicates"])) == (0, 11, 11)

        morning = await as_received(client, one, token)
        assert await numbers(client, one, token) == morning
        assert await numbers(client, other, token) == morning

        for name in READ_MODELS:
            assert "switched" in house.run("services.ingest", "rebuild", "build", name)
        assert await numbers(client, one) == morning

        exported = home / "morning.csv"
        exported.write_text(await ask(client, one, "export/csv"), "utf-8-sig")

        await remove_one_of_box_8(client, one, events)
        for name in READ_MODELS:
            house.run("services.ingest", "rebuild", "build", name)
        await after_the_removal(client, other)
    await asyncio.to_thread(import_tells_the_same, exported, postgres_url, kafka_bootstrap, home)


async def remove_one_of_box_8(
    client: aiohttp.ClientSession, url: str, events: list[dict[str, Any]]
) -> None:
    removed = {"operator": "chief", "uuids": [events[2]["uuid"]], "reason": "twice"}
    async with client.post(f"{url}/api/v1/events/bulk-remove", json=removed) as answer:
        assert (await answer.json())["removed_count"] == 1
    sent, token = await send(client, url, events)
    assert (sent["inserted"], sent["skipped"]) == (0, 11)
    await ask(client, url, "dashboard/state", token)


async def after_the_removal(client: aiohttp.ClientSession, url: str) -> None:
    state = await ask(client, url, "dashboard/state")
    boxes = await ask(client, url, "dashboard/boxes")
    assert state["summary"]["items"] == 2
    (city,) = boxes["clients"][0]["cities"]
    assert {box["boxNo"]: box["itemsCount"] for box in city["boxes"]} == {"8": 1, "10": 1}
    async with client.get(f"{url}/api/v1/dashboard/raw", params={"type": "BULK_REMOVE"}) as answer:
        assert (await answer.json())["total"] == 1


def import_tells_the_same(
    exported: Path, postgres_url: str, kafka_bootstrap: str, home: Path
) -> None:
    from urllib.parse import urlsplit

    from deploy.local.postgres import query

    name = f"import_{uuid4().hex}"
    query(postgres_url, f"create database {name}")
    empty = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    try:
        with open_house(empty, kafka_bootstrap, home) as house:
            said = house.run("services.ingest", "import", str(exported), "--tenant", "demo")
            assert "11" in said
            asyncio.run(_wait_for_the_morning(house))
            house.run("services.ingest", "import", str(exported), "--tenant", "demo")
            asyncio.run(_wait_for_the_morning(house))
    finally:
        query(postgres_url, f"drop database {name} with (force)")


async def _wait_for_the_morning(house: House) -> None:
    """An import gives no token to wait with: ask until it is there, and then exactly."""
    async with aiohttp.ClientSession(headers=house.bearer()) as client:
        async with asyncio.timeout(30):
            while True:
                state = await ask(client, house.ingests[0], "dashboard/state")
                boxes = await ask(client, house.ingests[0], "dashboard/boxes")
                if state["summary"]["items"] == 3 and boxes["totalItems"] == 3:
                    break
                await asyncio.sleep(0.1)
        found = await numbers(client, house.ingests[0])
    # Everything of the file was received in the same second or two: who was last is not told.
    assert found == MORNING_NUMBERS


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_240_parallel_identical_batches_are_all_answered_and_counted_once(
    house: House,
) -> None:
    batches = [
        [
            {
                "uuid": str(uuid4()),
                "ts": 1_761_900_000_000 + n,
                "type": "ITEM",
                "operator": f"operator-{batch % 5}",
                "client": "ivancov",
                "box": "ivancov/8",
                "code": str(n),
            }
            for n in range(20)
        ]
        for batch in range(40)
    ]
    async with aiohttp.ClientSession(headers=house.bearer()) as client:
        answers = await asyncio.gather(
            *(
                send(client, house.ingests[time % 2], batch)
                for batch in batches
                for time in range(6)
            )
        )
        tokens = ",".join({token for _, token in answers})
        bodies = [body for body, _ in answers]

        assert len(bodies) == 240
        assert all(body["ok"] and not body["errors"] for body in bodies)
        assert all(body["inserted"] + body["skipped"] == 20 for body in bodies)
        assert sum(body["inserted"] for body in bodies) == 800
        state = await ask(client, house.ingests[1], "dashboard/state", tokens)
        assert state["summary"]["items"] == 800
