"""A morning of one operator, told twice and in disorder, gives exactly the numbers of §11."""

from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from httpx import AsyncClient

from tests.services.ingest.told import ZONE, Clock, Projector

MORNING = [
    ("08:00:00", "CITY", "Novosem", "", ""),
    ("08:01:00", "BOX", "ivancov/8", "ivancov/8", ""),
    ("08:02:05", "ITEM", "2042469234860", "ivancov/8", ""),
    ("08:03:05", "ITEM", "2042469234860", "ivancov/8", ""),
    ("08:10:00", "CLOSE", "ivancov/8", "ivancov/8", ""),
    ("08:11:00", "BOX", "ivancov/10", "ivancov/10", ""),
    ("08:12:05", "ITEM", "777", "ivancov/10", ""),
    ("09:12:00", "AUTO_CLOSE", "ivancov/10", "ivancov/10", ""),
    ("09:13:00", "ERROR", "NO_BOX", "", ""),
    ("09:14:00", "ERROR", "CYRILLIC_ERROR", "", "товар"),
    ("09:15:00", "CITY_CLOSE", "Novosem", "", ""),
]


def moment(day: str, clock: str, zone: ZoneInfo) -> datetime:
    return datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)


def the_morning(day: str, zone: ZoneInfo = ZONE) -> list[dict[str, Any]]:
    return [
        {
            "uuid": str(UUID(int=number, version=4)),
            "ts": int(moment(day, clock, zone).timestamp() * 1000),
            "type": kind,
            "operator": "testscanner",
            "client": box.partition("/")[0],
            "city": "Novosem",
            "box": box,
            "code": code,
            "details": details,
            "source": "pwa",
        }
        for number, (clock, kind, code, box, details) in enumerate(MORNING, 1)
    ]


@pytest.mark.parametrize("day", ["2025-10-31", "2025-12-31", "2024-02-29", "2026-01-01"])
async def test_the_numbers_of_the_morning_are_exact(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock, day: str
) -> None:
    clock.now = moment(day, "09:15:30", ZONE)
    events = the_morning(day)
    first = await device.post("/api/v1/events/batch", json={"events": Random(1).sample(events, 11)})
    await projector.catch_up()
    clock.now += timedelta(seconds=10)
    second = await device.post(
        "/api/v1/events/batch", json={"events": Random(2).sample(events, 11)}
    )
    await projector.catch_up()

    assert (first.status_code, first.json()["inserted"], first.json()["skipped"]) == (200, 11, 0)
    assert (second.status_code, second.json()["inserted"]) == (200, 0)
    assert set(second.json()["duplicates"]) == {event["uuid"] for event in events}
    assert (second.json()["ok"], second.json()["skipped"]) == (True, 11)

    state = (await viewer.get("/api/v1/dashboard/state", params={"date": day})).json()
    assert state["summary"] == {
        "items": 3,
        "opens": 2,
        "closes": 1,
        "errors": 2,
        "autoCloses": 1,
        "removed": 0,
    }
    assert [
        (one["client"], one["items"], one["boxesOpen"], one["boxesClose"], one["errors"])
        for one in state["clients"]
    ] == [("ivancov", 3, 2, 1, 0), ("—", 0, 0, 0, 2)]
    operator = state["operators"][0]
    assert (operator["itemsToday"], operator["errorsToday"]) == (3, 2)
    assert (operator["lastCity"], operator["lastBox"], operator["online"]) == ("Novosem", "—", True)
    assert [row["type"] for row in state["feed"]] == [kind for _, kind, *_ in reversed(MORNING)]

    boxes = (await viewer.get("/api/v1/dashboard/boxes", params={"date": day})).json()
    (client,) = boxes["clients"]
    (city,) = client["cities"]
    assert (client["client"], city["city"]) == ("ivancov", "Novosem")
    assert [(box["boxNo"], box["itemsCount"], box["status"]) for box in city["boxes"]] == [
        ("8", 2, "closed"),
        ("10", 1, "closed"),
    ]
    assert (boxes["totalBoxes"], boxes["totalItems"]) == (2, 3)

    errors = (
        await viewer.get("/api/v1/dashboard/raw", params={"date": day, "type": "ERROR"})
    ).json()
    written = f"{day[8:]}.{day[5:7]}.{day[:4]}"
    assert errors["total"] == 2
    assert [row["ts"] for row in errors["logs"]] == [f"{written} 09:14:00", f"{written} 09:13:00"]
    assert errors["logs"][0]["details"] == "товар"


async def test_a_removed_item_stays_removed_when_the_morning_is_sent_again(
    device: AsyncClient,
    viewer: AsyncClient,
    remover: AsyncClient,
    projector: Projector,
    clock: Clock,
) -> None:
    day, events = "2025-10-31", the_morning("2025-10-31")
    clock.now = moment(day, "09:15:30", ZONE)
    await device.post("/api/v1/events/batch", json={"events": events})
    (item, *_) = [event for event in events if event["type"] == "ITEM"]
    removed = await remover.post(
        "/api/v1/events/bulk-remove", json={"operator": "vera", "uuids": [item["uuid"]]}
    )
    again = await device.post("/api/v1/events/batch", json={"events": events})
    await projector.catch_up()

    assert removed.json() == {"ok": True, "message": "Удалено 1 товаров", "removed_count": 1}
    assert (again.json()["inserted"], again.json()["skipped"]) == (0, 11)
    state = (await viewer.get("/api/v1/dashboard/state", params={"date": day})).json()
    assert (state["summary"]["items"], state["summary"]["removed"]) == (2, 1)
    boxes = (await viewer.get("/api/v1/dashboard/boxes", params={"date": day})).json()
    (city,) = boxes["clients"][0]["cities"]
    assert {box["boxNo"]: box["itemsCount"] for box in city["boxes"]} == {"8": 1, "10": 1}
    raw = (await viewer.get("/api/v1/dashboard/raw", params={"date": day})).json()
    (audit,) = [row for row in raw["logs"] if row["type"] == "BULK_REMOVE"]
    assert (audit["client"], audit["city"], audit["box"]) == ("ivancov", "Novosem", "ivancov/8")
    assert item["uuid"] not in {row["uuid"] for row in raw["logs"]}
    assert raw["total"] == len(raw["logs"]) == 11


async def test_the_day_before_knows_nothing_of_the_morning(
    device: AsyncClient, viewer: AsyncClient, projector: Projector, clock: Clock
) -> None:
    clock.now = moment("2025-10-31", "09:15:30", ZONE)
    await device.post("/api/v1/events/batch", json={"events": the_morning("2025-10-31")})
    await projector.catch_up()

    for day in ("2025-10-30", "01.11.2025"):
        found = (await viewer.get("/api/v1/dashboard/raw", params={"date": day})).json()
        assert found == {"logs": [], "total": 0}
